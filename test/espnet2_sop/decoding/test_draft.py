"""If these fail, decoding is slow (or, in `follow`, endless); what it writes is tested in test_decode.py."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from espnet2_sop.decoding.draft import Draft, PassCost, lookahead

ids = st.lists(st.integers(0, 4), max_size=12)


@given(ids, ids)
def test_alignment_is_a_nearest_prefix(tokens, output):
    """rapidfuzz knows the distances; an output that follows the draft stays at the next token."""
    draft = Draft(tokens)
    for number, token in enumerate(output, 1):
        agreed = draft.ahead(1) == [token]
        before = draft.position
        draft.follow(token)
        distances = [Levenshtein.distance(output[:number], tokens[:n]) for n in range(len(tokens) + 1)]
        if agreed:
            assert draft.position == before + 1
        elif tokens:
            assert distances[draft.position] == min(distances)


@pytest.mark.parametrize(
    ("tokens", "output", "rest"),
    [
        ("put the red box down", "put the blue", "box down"),  # another word
        ("put the red box down", "put the box", "down"),  # a word too many in the draft
        ("put red box down", "put the red", "box down"),  # a word too few
        ("put the red box down", "", "put the red box down"),
        ("a b", "a b c d", ""),
    ],
)
def test_the_draft_goes_on_behind_a_disagreement(tokens, output, rest):
    draft = Draft(tokens.split())
    for word in output.split():
        draft.follow(word)
    assert draft.ahead(99) == rest.split()


def test_the_model_corrects_what_is_ahead_where_it_has_found_its_way_back():
    draft = Draft([1, 2, 3, 4, 5, 6])
    draft.refine([1, 2, 3, 4, 5], [1, 7, 8, 4, 9, 6], first=2)  # the 8 comes right behind the wrong 2
    assert draft.tokens == [1, 2, 3, 4, 9, 6]
    for token in (1, 7):
        draft.follow(token)
    assert draft.ahead(9) == [3, 4, 9, 6]


def total_by_hand(agreements, limits, cost, number):
    """Cost of writing everything if every pass verified `number` tokens."""
    written = [sum(a**n for n in range(min(number, limit) + 1)) for a, limit in zip(agreements, limits, strict=True)]
    passes = [(limit + 1) / w for limit, w in zip(limits, written, strict=True)]
    return (cost.several if number else cost.single) * max(passes) + (number + 1) * sum(passes)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), min_size=1, max_size=4), st.sampled_from([5, 30, 300]))
def test_lookahead_is_no_worse_than_none_and_has_no_better_neighbour(rows, several):
    drafts = [Draft([0]) for _ in rows]
    for draft, (agreement, _) in zip(drafts, rows, strict=True):
        draft.agreement = agreement
    limits, cost = [limit for _, limit in rows], PassCost(several, 0.7 * several)
    totals = [total_by_hand([a for a, _ in rows], limits, cost, n) for n in range(max(limits) + 1)]
    chosen = lookahead(drafts, limits, cost)
    assert totals[chosen] <= totals[0]
    assert all(
        totals[chosen] <= totals[n] * (1 + 1e-9) for n in (chosen - 1, chosen + 1) if 0 < n < len(totals) and chosen
    )


def test_a_batch_waits_for_its_slowest_row():
    """Verifying for others only makes the passes longer that a row with a useless draft needs anyway."""
    useful, useless = Draft([0]), Draft([0])
    useful.agreement, useless.agreement = 0.95, 0.02
    cost = PassCost(40, 32)
    assert lookahead([useful], [50], cost) > 10
    assert lookahead([useful, useless], [50, 50], cost) <= 1
    assert lookahead([useful, useless], [50, 5], cost) > 5


def passes(draft, output, cost):
    """Counts passes and verified tokens for an output that is known."""
    draft, place, count, verified = Draft(draft), 0, 0, 0
    while place < len(output):
        limit = min(len(draft.tokens) - draft.position, len(output) - place - 1)
        tokens = draft.ahead(lookahead([draft], [limit], cost))
        count, verified = count + 1, verified + len(tokens)
        for token in [*tokens, None]:
            draft.follow(output[place])
            place += 1
            if token != output[place - 1]:
                break
    return count, verified


def test_perfect_drafts_take_few_passes_and_useless_ones_hardly_any_verification():
    rng = random.Random(1)
    cost = PassCost(28, 20)
    perfect = [rng.randrange(50) for _ in range(60)]
    assert passes(perfect, perfect, cost)[0] <= 3
    useless = [rng.randrange(50) for _ in range(60)]
    count, verified = passes(useless, perfect, cost)
    assert count >= 58 and verified <= 20
    assert passes([], perfect, cost) == (60, 0)
