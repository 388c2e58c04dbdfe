"""Optimal reference combination WER (Sklyar et al., 2022; arXiv 2211.16112, section 3)."""

from math import prod

from rapidfuzz.distance.Levenshtein import distance, editops

from espnet2_sop.scoring.rates import ErrorCount, Talkers, added, as_strings, kinds

MOST_UTTERANCES = 8
"""Up to here all 2^8 groups of reference utterances are tried with every talker; above, meeteval's algorithm."""
MOST_CELLS = 10_000_000
"""Largest table of meeteval's algorithm, 16 bytes each: (utterances + 1) times the product of (words + 1)."""


class TooMany(Exception):
    """A metric would take too long; its text says why."""


def orc_wer(utterances: Talkers, hyp: Talkers) -> ErrorCount:
    """every reference utterance goes to the hypothesis talker where the total of errors is smallest

    A hypothesis talker is compared with its utterances in the order of the reference. Same errors as meeteval's
    `orc_word_error_rate`. Utterances are those of the reference: of a serialized text the talkers' transcripts, of
    SegLST and STM the segments.

    Args:
        utterances: Words of each reference utterance, in order of time.
        hyp: Words of each hypothesis talker.

    Returns:
        The errors of the best assignment.

    Raises:
        TooMany: More than `MOST_UTTERANCES`, and meeteval is not installed or would need too much memory.
    """
    utterances = [words for words in utterances if words] or [[]]
    ref_strings, hyp_strings = as_strings(utterances, hyp or [[]])
    solve = of_groups if len(ref_strings) <= MOST_UTTERANCES else of_meeteval
    groups = solve(ref_strings, hyp_strings)
    return added(kinds(editops(group, talker)) for group, talker in zip(groups, hyp_strings, strict=True))


def of_groups(utterances: list[str], talkers: list[str]) -> list[str]:
    """Best reference for each hypothesis talker: the edit distance of every group of utterances with every talker.

    Groups are bit masks. `least[mask]` is the fewest errors of the talkers so far when they share the utterances in
    `mask`. Takes 2^U distances and 3^U sums for each talker (U utterances), whatever the length.

    Args:
        utterances: Reference utterances, a character for each word.
        talkers: Hypothesis talkers, likewise.

    Returns:
        For each hypothesis talker the utterances that it gets, joined.
    """
    texts = [""]
    for utterance in utterances:  # the groups with an utterance come behind those without: bit order
        texts += [text + utterance for text in texts]
    full = len(texts) - 1
    least: list[int | None] = [0] + [None] * full  # without talkers nothing can be shared
    chosen = []
    for number, talker in enumerate(talkers, 1):
        errors = [distance(text, talker) for text in texts]
        goals = range(full + 1) if number < len(talkers) else (full,)
        now: list[int | None] = [None] * (full + 1)
        choice = [0] * (full + 1)
        for mask in goals:
            group = mask
            while True:  # all parts of mask, itself first
                before = least[mask ^ group]
                if before is not None and (now[mask] is None or before + errors[group] < now[mask]):
                    now[mask], choice[mask] = before + errors[group], group
                if group == 0:
                    break
                group = (group - 1) & mask
        least = now
        chosen.append(choice)
    mask, groups = full, []
    for choice in reversed(chosen):
        groups.append(texts[choice[mask]])
        mask ^= choice[mask]
    return groups[::-1]


def of_meeteval(utterances: list[str], talkers: list[str]) -> list[str]:
    """Best reference for each hypothesis talker by meeteval's table over the positions in all talkers.

    Args:
        utterances: Reference utterances, a character for each word.
        talkers: Hypothesis talkers, likewise.

    Returns:
        For each hypothesis talker the utterances that it gets, joined.

    Raises:
        TooMany: meeteval is not installed, or its table would be too large.
    """
    try:
        from meeteval.wer.matching.mimo_matching import mimo_matching
    except ImportError:
        raise TooMany(f"{len(utterances)} reference utterances; above {MOST_UTTERANCES}, install meeteval") from None
    if (len(utterances) + 1) * prod(len(talker) + 1 for talker in talkers) > MOST_CELLS:
        raise TooMany(f"{len(utterances)} reference utterances and {len(talkers)} long hypothesis talkers")
    groups = [""] * len(talkers)
    _, assignment = mimo_matching([utterances], talkers)
    for utterance, (_, talker) in zip(utterances, assignment, strict=True):
        groups[talker] += utterance
    return groups
