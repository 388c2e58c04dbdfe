"""If these fail, a talker has the onset, the words or the confidence of another one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from espnet2_sop.decoding.hypotheses import Hypothesis, TalkerText, mean_probability
from espnet2_sop.decoding.talker import match, talkers_of
from espnet2_sop.text.ctm import TimedWord

TALKER = st.lists(st.sampled_from("ab"), max_size=3)


@given(st.lists(TALKER, max_size=4), st.lists(TALKER, max_size=4))
def test_pairs_are_the_best_in_order(texts, prompts):
    """Against all choices."""
    number = min(len(texts), len(prompts))
    found = [(i, j) for i, j in enumerate(match(texts, prompts)) if j is not None]
    assert len(found) == number and found == sorted(found) and len({j for _, j in found}) == number

    def cost(pairs):
        return sum(Levenshtein.distance(texts[i], prompts[j]) for i, j in pairs)

    assert cost(found) == min(
        cost(zip(some, others, strict=True))
        for some in itertools.combinations(range(len(texts)), number)
        for others in itertools.combinations(range(len(prompts)), number)
    )


def test_a_talker_that_the_llm_drops_takes_its_onset_along():
    """Three talkers in the prompt, of which the second is noise; times are those of the recording."""
    heard = (
        TimedWord(1, 0.4, 0.2, "red", 0.9),
        TimedWord(1, 0.8, 0.2, "box", 0.9),
        TimedWord(2, 1.1, 0.1, "uh", 0.2),
        TimedWord(3, 1.5, 0.2, "go", 0.8),
    )
    written = (TalkerText("red box", ("red", "box"), 0.9), TalkerText("go now", ("go", "now"), 0.7))
    first, second = talkers_of(Hypothesis("red box <sc> go now", "", (), heard, written), 20.0, 25.0)
    assert (first.text, first.onset, first.prompt, first.slot, first.span) == (
        "red box",
        20.4,
        "red box",
        1,
        (20.4, 21.0),
    )
    assert (second.text, second.onset, second.prompt, second.slot) == ("go now", 21.5, "go", 2)
    assert second.words == (TimedWord(2, 21.5, 0.2, "go", 0.8),) and second.confidence == 0.7


def test_without_ctc_there_is_no_onset():
    written = (TalkerText("red", ("red",), 0.9), TalkerText("go <sc> now", ("go", "now"), 0.9))
    first, second = talkers_of(Hypothesis("red <sc> go", talkers=written), 3.0, 5.0)
    assert first.onset is None and first.prompt == "" and first.words == () and first.span == (3.0, 5.0)
    assert second.text == "go now", "the mark of a speaker change is no word"


def test_mean_probability_is_geometric():
    import math

    assert mean_probability([math.log(0.5), math.log(0.125)]) == 0.25
    assert mean_probability([]) == 0
