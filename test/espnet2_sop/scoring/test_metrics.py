"""If these fail, our numbers can no longer be put beside those of other toolkits."""

import itertools
import random

import jiwer
import meeteval
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.scoring.metrics import (
    METRICS,
    MOST_PERMUTED,
    assign,
    cpwer,
    errors_of_talkers,
    order_wer,
    own_metrics,
    ref_permutation_wer,
    slot_wer,
    title,
)
from espnet2_sop.scoring.orc import TooMany
from espnet2_sop.scoring.rates import ErrorCount, added

TALKERS = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=5)


def random_side(rng: random.Random, most_talkers: int) -> list[list[str]]:
    return [rng.choices("abcdef", k=rng.randint(0, 6)) for _ in range(rng.randint(0, most_talkers))]


def random_cases(number: int, most_talkers: int) -> list[tuple[list[list[str]], list[list[str]]]]:
    """Unrelated sides, and hypotheses that are the reference's talkers shuffled with wrong, lost and new words."""
    rng = random.Random(most_talkers)
    cases = []
    for _ in range(number):
        ref, hyp = random_side(rng, most_talkers), random_side(rng, most_talkers)
        if rng.random() < 0.5:
            hyp = [[rng.choice([word, word, word, "x"]) for word in talker if rng.random() < 0.9] for talker in ref]
            rng.shuffle(hyp)
            hyp = hyp[: rng.randint(0, len(hyp))] if rng.random() < 0.2 else hyp
        cases.append((ref, hyp))
    return cases


@pytest.mark.parametrize(("number", "most_talkers"), [(8000, 3), (3000, 8)])
def test_cpwer_equals_meeteval(number, most_talkers):
    cases = random_cases(number, most_talkers)
    sides = [
        meeteval.io.SegLST(
            [
                {"session_id": str(session), "speaker": str(slot), "words": " ".join(words)}
                for session, case in enumerate(cases)
                for slot, words in enumerate(case[side] or [[]])  # meeteval wants every session on both sides
            ]
        )
        for side in (0, 1)
    ]
    expected = meeteval.wer.cpwer(*sides, reference_sort=False, hypothesis_sort=False)
    assert len(expected) == len(cases)
    for session, (ref, hyp) in enumerate(cases):
        ours, theirs = cpwer(ref, hyp), expected[str(session)]
        assert (ours.errors, ours.words) == (theirs.errors, theirs.length), (ref, hyp)
        assert ours.insertions - ours.deletions == theirs.insertions - theirs.deletions


@pytest.mark.parametrize(
    ("ref", "hyp"),
    [([], []), (["a b"], []), ([], ["a b"]), ([""], ["a"]), (["a"], [""]), (["a b", "c"], ["c"]), (["a"], ["b", "a"])],
)
def test_cpwer_corner_cases_equal_meeteval(ref, hyp):
    theirs = meeteval.wer.cp_word_error_rate(ref, hyp, reference_sort=False, hypothesis_sort=False)
    ours = cpwer([talker.split() for talker in ref], [talker.split() for talker in hyp])
    assert (ours.substitutions, ours.deletions, ours.insertions, ours.words) == (
        *(theirs.substitutions, theirs.deletions, theirs.insertions, theirs.length),
    )


def test_a_hypothesis_of_very_many_talkers_takes_no_longer():
    """300 talkers: trying the permutations would not end."""
    ref = [["a", "b"], ["c"], ["d", "e", "f"]]
    hyp = [["x"]] * 150 + ref[::-1] + [["y"]] * 147
    for metric in METRICS.values():
        assert metric(ref, hyp).errors >= 297 and metric(hyp[:8], hyp).words
    assert cpwer(ref, hyp) == ErrorCount(insertions=297, words=6)


@given(TALKERS, TALKERS)
def test_parts_of_cpwer_belong_to_talkers(ref, hyp):
    parts = errors_of_talkers(ref, hyp)
    assert added(parts) == sum((ErrorCount(*part) for part in parts), ErrorCount()) == cpwer(ref, hyp)
    assert [words for *_, words in parts] == [len(r) for r in ref] + [0] * (len(parts) - len(ref))
    assert len(parts) == max(len(ref), len(hyp))


def distance(ref: list[str], hyp: list[str]) -> int:
    """Edit distance by the textbook recurrence."""
    row = list(range(len(hyp) + 1))
    for i, word in enumerate(ref, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hyp, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


@given(TALKERS, TALKERS)
def test_slot_wer_against_textbook(ref, hyp):
    count = slot_wer(ref, hyp)
    assert count.errors == sum(distance(r, h) for r, h in itertools.zip_longest(ref, hyp, fillvalue=[]))
    assert count.words == sum(map(len, ref))


@given(TALKERS.filter(any), TALKERS)
def test_order_wer_against_jiwer(ref, hyp):
    ref_text, hyp_text = (" ".join(itertools.chain.from_iterable(side)) for side in (ref, hyp))
    assert order_wer(ref, hyp).rate == pytest.approx(jiwer.wer(ref_text, hyp_text))


def permuted(ref: list[list[str]], hyp: list[list[str]]) -> int:
    """Fewest errors over all orders of the reference talkers, each order compared from scratch."""
    words = sum(hyp, [])
    return min(distance(sum(order, []), words) for order in itertools.permutations(ref))


@given(TALKERS, TALKERS)
def test_ref_permutation_wer_against_a_loop(ref, hyp):
    count = ref_permutation_wer(ref, hyp)
    assert (count.errors, count.words) == (permuted(ref, hyp), sum(map(len, ref)))


@pytest.mark.parametrize(("number", "most_talkers"), [(2000, 3), (300, 5)])
def test_ref_permutation_wer_against_jiwer(number, most_talkers):
    for ref, hyp in random_cases(number, most_talkers):
        if any(ref):
            words = " ".join(sum(hyp, []))
            orders = (" ".join(sum(order, [])) for order in itertools.permutations(ref))
            assert ref_permutation_wer(ref, hyp).rate == pytest.approx(min(jiwer.wer(order, words) for order in orders))


def test_ref_permutation_wer_has_a_limit():
    ref = [[word] for word in "abcdefghi"]
    assert ref_permutation_wer(ref[:MOST_PERMUTED], ref[MOST_PERMUTED - 1 :: -1]).errors == 0
    with pytest.raises(TooMany, match="9 reference talkers"):
        ref_permutation_wer(ref, ref)


def test_ref_permutation_wer_forgives_what_cpwer_does_not():
    """A word on the wrong side of a boundary, and a talker in the middle of another."""
    ref = [["a", "b"], ["c"]]
    assert ref_permutation_wer(ref, [["c", "a"], ["b"]]).errors == 0
    assert cpwer(ref, [["c", "a"], ["b"]]).errors == 2
    assert ref_permutation_wer(ref, [["a", "c", "b"]]).errors > 0


@given(TALKERS, TALKERS)
def test_relations_between_metrics(ref, hyp):
    counts = {name: metric(ref, hyp) for name, metric in METRICS.items()}
    assert counts["cpwer"].errors <= counts["slot_wer"].errors
    assert counts["order_wer"].errors <= counts["slot_wer"].errors
    assert counts["orc_wer"].errors <= counts["cpwer"].errors
    assert counts["ref_permutation_wer"].errors <= min(counts["cpwer"].errors, counts["order_wer"].errors)
    assert {count.words for count in counts.values()} == {sum(map(len, ref))}
    assert {metric(ref, ref) for metric in METRICS.values()} == {ErrorCount(words=sum(map(len, ref)))}


def test_word_on_the_wrong_side_of_the_boundary_costs_in_slots_only():
    ref, hyp = [["a", "b"], ["c"]], [["a"], ["b", "c"]]
    assert order_wer(ref, hyp).errors == 0
    assert slot_wer(ref, hyp).errors == cpwer(ref, hyp).errors == 2


def test_swapped_talkers_cost_nothing_in_cpwer():
    ref, hyp = [["a", "b"], ["c"]], [["c"], ["a", "b"]]
    assert cpwer(ref, hyp).errors == 0
    assert slot_wer(ref, hyp).errors == 4 and order_wer(ref, hyp).errors == 2


@given(
    st.integers(0, 5).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_assign_is_the_cheapest_permutation(cost):
    columns = assign(cost)
    assert sorted(columns) == list(range(len(cost)))
    cheapest = min(sum(cost[i][j] for i, j in enumerate(p)) for p in itertools.permutations(range(len(cost))))
    assert sum(cost[i][j] for i, j in enumerate(columns)) == cheapest


def test_every_metric_is_defined_in_one_line():
    assert all(metric.__doc__ and metric.__doc__.splitlines()[0] for metric in METRICS.values())
    assert [*map(title, METRICS)] == ["cpWER", "order WER", "slot WER", "ORC-WER", "ref-permutation WER"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one_wer:cpwer"], "--metric one_wer:cpwer: cpwer is a metric of the package"),
        (["one_wer:talkers"], "--metric one_wer:talkers: talkers is taken"),
        (["one_wer:mine", "two_wer:mine"], "--metric two_wer:mine: mine is given twice"),
    ],
)
def test_names_of_own_metrics_are_their_own(tmp_path, monkeypatch, names, message):
    for module in ("one_wer", "two_wer"):
        functions = "".join(f"def {name}(ref, hyp): ...\n" for name in ("cpwer", "talkers", "mine"))
        (tmp_path / f"{module}.py").write_text(functions)
    monkeypatch.syspath_prepend(tmp_path)
    assert list(own_metrics(["one_wer:mine"])) == ["mine"]
    with pytest.raises(UserError, match=message):
        own_metrics(names)
