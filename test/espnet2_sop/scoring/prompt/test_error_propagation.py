from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.scoring.alignment import align
from espnet2_sop.scoring.metrics import cpwer
from espnet2_sop.scoring.prompt.error_propagation import (
    OUTCOMES,
    count_propagation,
    others_active,
    summarize_propagation,
    word_times,
)

TALKERS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), max_size=3)


def talkers(text):
    return [talker.split() for talker in text.split("|") if talker.strip()]


def counted(ref, prompt, final):
    ref = talkers(ref)
    return +count_propagation(ref, align(ref, talkers(prompt)), align(ref, talkers(final)))["all"]


@pytest.mark.parametrize(
    ("ref", "prompt", "final", "expected"),
    [
        ("a b c d", "a x c y", "a b z y", {"kept": 1, "repaired": 1, "broken": 1, "still_wrong": 1, "copied": 1}),
        ("a b", "a", "a b", {"kept": 1, "repaired": 1}),  # the prompt deleted it
        ("a b", "a", "a", {"kept": 1, "still_wrong": 1, "copied": 1}),  # both did
        ("a b", "a x", "a", {"kept": 1, "still_wrong": 1}),  # wrong in another way
        ("a b", "a b", "", {"broken": 2}),
        ("a b", "", "b", {"repaired": 1, "still_wrong": 1, "copied": 1}),
        ("a b | c", "a b | c", "c | a b", {"kept": 3}),  # another order of the talkers
        ("a b | c", "a b", "a b | c", {"kept": 2, "repaired": 1}),  # a talker that the prompt missed
        (
            "a b c",
            "a x b x y c",
            "a x b c z",
            {"kept": 3, "inserted_kept": 1, "inserted_removed": 2, "inserted_new": 1},
        ),
        ("a b", "a b | x y", "a b | y", {"kept": 2, "inserted_removed": 1, "inserted_kept": 1}),  # a talker too many
        ("a | b", "a x | b", "a | b x", {"kept": 2, "inserted_removed": 1, "inserted_new": 1}),  # not the same talker
        ("a a a b", "a a b", "a a a b", {"kept": 3, "repaired": 1}),
    ],
)
def test_cases_made_by_hand(ref, prompt, final, expected):
    assert counted(ref, prompt, final) == expected


@given(TALKERS, TALKERS, TALKERS)
def test_totals_add_up(ref, prompt, final):
    """Every word has one outcome; right words and insertions of prompt and final text are those that cpWER counts."""
    counts = count_propagation(ref, align(ref, prompt), align(ref, final))["all"]
    before, after = cpwer(ref, prompt), cpwer(ref, final)
    assert sum(counts[name] for name in OUTCOMES) == sum(map(len, ref))
    assert counts["kept"] + counts["broken"] == before.words - before.substitutions - before.deletions
    assert counts["kept"] + counts["repaired"] == after.words - after.substitutions - after.deletions
    assert counts["copied"] <= counts["still_wrong"]
    assert counts["inserted_kept"] + counts["inserted_removed"] == before.insertions
    assert counts["inserted_kept"] + counts["inserted_new"] == after.insertions


@given(TALKERS, TALKERS)
def test_a_final_text_that_is_the_prompt_copies_everything(ref, prompt):
    counts = count_propagation(ref, align(ref, prompt), align(ref, prompt))["all"]
    assert not counts["repaired"] + counts["broken"] + counts["inserted_removed"] + counts["inserted_new"]
    assert counts["copied"] == counts["still_wrong"]


@given(TALKERS.filter(bool), TALKERS, TALKERS, st.data())
def test_overlapped_and_single_are_all(ref, prompt, final, data):
    times = [sorted(data.draw(st.floats(-1, 6)) for _ in talker) for talker in prompt]
    spans = [(float(i), i + data.draw(st.floats(0.1, 4))) for i in range(len(ref))]
    counts = count_propagation(ref, align(ref, prompt), align(ref, final), spans, times)
    assert counts["overlapped"] + counts["single"] == Counter(
        {name: number for name, number in counts["all"].items() if name != "inserted_new" and number}
    )


def test_split_by_overlap():
    """Talker 1 from 0 to 2 s, talker 2 from 1 to 3 s: words before 1 s and from 2 s on are said alone."""
    ref, prompt, final = talkers("a b c | d e f"), talkers("a b x | d y e f"), talkers("a b c | d f")
    spans, times = [(0.0, 2.0), (1.0, 3.0)], [[0.5, 1.0, 1.9], [1.1, 1.5, 1.99, 2.0]]
    counts = count_propagation(ref, align(ref, prompt), align(ref, final), spans, times)
    assert +counts["overlapped"] == {"kept": 2, "repaired": 1, "broken": 1, "inserted_removed": 1}
    assert +counts["single"] == {"kept": 2}


def test_time_of_words_without_place():
    """Between neighbours, or between the talker's start or end and the nearest word; peaks outside are put inside."""
    (ref,) = talkers("a b c d e")
    aligned = align([ref], talkers("b d"))
    assert word_times(aligned, 0, (1.0, 5.0), [[2.0, 4.0]]) == pytest.approx([1 + 1 / 3, 2, 3, 4, 4 + 2 / 3])
    assert word_times(align([ref], []), 0, (1.0, 6.0), []) == pytest.approx([1.5, 2.5, 3.5, 4.5, 5.5])
    assert word_times(align([ref], talkers("a b c d e")), 0, (1.0, 2.0), [[0.5, 1.2, 1.4, 1.6, 2.5]])[::4] == [1, 2]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=4), st.integers(0, 40), st.data())
def test_others_active_against_a_drawn_timeline(pieces, time, data):
    talker = data.draw(st.sampled_from([None, *range(len(pieces))]))
    line = [set() for _ in range(41)]
    for who, (start, length) in enumerate(pieces):
        for tick in range(start, start + length):
            line[tick].add(who)
    spans = [(start, start + length) for start, length in pieces]
    expected = len(line[time]) >= 2 if talker is None else bool(line[time] - {talker})
    assert others_active(spans, time, talker) == expected


def test_summary_of_a_set():
    mixtures = [Counter(kept=6, repaired=1, still_wrong=1, copied=1, inserted_removed=1), Counter(kept=3, broken=1)] * 5
    record = summarize_propagation(mixtures)
    assert record["words"] == 60 and record["kept"] == 45 and "inserted_new" not in record
    assert record["shares"] == {"kept": 75, "repaired": 8.33, "broken": 8.33, "still_wrong": 8.33}
    assert record["repair_rate"] == 50 and record["copy_rate"] == 50 and record["removal_rate"] == 100
    assert record["break_rate"] == 10
    low, high = record["intervals"]["break_rate"]
    assert low < 10 < high
    empty = summarize_propagation([Counter()])
    assert empty["words"] == 0 and empty["repair_rate"] is None and empty["intervals"]["kept"] is None
