"""Word error rates for mixtures. A new metric is one function, and one row in `METRICS` or the option `--metric`.

Every metric takes the words of each talker, reference and hypothesis, and returns one ErrorCount. The first line of
its docstring defines it in the reports; docs/scoring.md has the formulas.
"""

from collections.abc import Callable, Sequence
from itertools import permutations, zip_longest

from rapidfuzz.distance.Levenshtein import distance, editops

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.registry import find_part
from espnet2_sop.scoring.orc import TooMany, orc_wer
from espnet2_sop.scoring.rates import ErrorCount, Kinds, Talkers, added, as_strings, kinds, word_errors

MOST_PERMUTED = 8
"""Most reference talkers whose orders are all tried: 8 have 40,320."""


def order_wer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """one edit distance over the words of all talkers in order of onset, `<sc>` removed

    Args:
        ref, hyp: Words of each talker.

    Returns:
        The errors.
    """
    return word_errors(sum(ref, []), sum(hyp, []))


def slot_wer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """talker i of the hypothesis against talker i of the reference, missing and extra talkers counted

    Args:
        ref, hyp: Words of each talker.

    Returns:
        The errors of all slots.
    """
    return added(kinds(editops(r, h)) for r, h in zip_longest(ref, hyp, fillvalue=[]))


def cpwer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """best assignment of hypothesis talkers to reference talkers, missing and extra talkers counted

    A talker without a partner is compared with an empty one: all its words are deletions or insertions. Same errors as
    meeteval's `cp_word_error_rate` (concatenated minimum-permutation WER, CHiME-6).

    Args:
        ref, hyp: Words of each talker.

    Returns:
        The errors of the best assignment.
    """
    return added(errors_of_talkers(ref, hyp))


def errors_of_talkers(ref: Talkers, hyp: Talkers) -> list[Kinds]:
    """The parts of cpWER.

    Args:
        ref, hyp: Words of each talker.

    Returns:
        Errors of each reference talker against its partner, then the insertions of each hypothesis talker without one.
    """
    if (surplus := len(hyp) - len(ref)) > 0:
        ref = ref + [[]] * surplus
    elif surplus < 0:
        hyp = hyp + [[]] * -surplus
    straight = [editops(r, h) for r, h in zip(ref, hyp, strict=True)]  # most often the best: not computed twice
    cost = [[len(straight[i]) if i == j else distance(r, h) for j, h in enumerate(hyp)] for i, r in enumerate(ref)]
    return [
        kinds(straight[i] if i == column else editops(ref[i], hyp[column])) for i, column in enumerate(assign(cost))
    ]


def assign(cost: list[list[int]]) -> list[int]:
    """The column of each row for which the sum of a square cost table is smallest; the identity wins ties."""
    for number, row in enumerate(cost):
        if row[number] > min(row):
            break
    else:  # most often
        return list(range(len(cost)))
    if len(cost) <= 3:  # six permutations at most: cheaper than to load scipy
        return list(min(permutations(range(len(cost))), key=lambda p: sum(map(list.__getitem__, cost, p))))
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)[1].tolist()


def ref_permutation_wer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """order WER for the order of the reference talkers that has the fewest errors (GLAD, SACTC)

    Words may cross talker boundaries, so it is never above cpWER and never above order WER. The definition is that of
    the scoring script which SACTC (arXiv 2409.12388) and GLAD (arXiv 2509.13093) share.

    Args:
        ref, hyp: Words of each talker.

    Returns:
        The errors of the best order.

    Raises:
        TooMany: More than `MOST_PERMUTED` reference talkers.
    """
    if len(ref) > MOST_PERMUTED:
        raise TooMany(f"{len(ref)} reference talkers, at most {MOST_PERMUTED} are permuted")
    ref_strings, hyp_strings = as_strings(ref, hyp)
    words, least, best = "".join(hyp_strings), None, ""
    for order in permutations(ref_strings):
        text = "".join(order)
        errors = distance(text, words, score_cutoff=least)
        if least is None or errors < least:  # above the cutoff it is cutoff + 1
            least, best = errors, text
    return word_errors(best, words)


Metric = Callable[[Talkers, Talkers], ErrorCount]
METRICS: dict[str, Metric] = {
    "cpwer": cpwer,
    "order_wer": order_wer,
    "slot_wer": slot_wer,
    "orc_wer": orc_wer,
    "ref_permutation_wer": ref_permutation_wer,
}
OF_UTTERANCES = ("orc_wer",)
"""Metrics whose reference is a list of utterances instead of talkers; for serialized texts both are the same."""
RESERVED = ("talkers", "slots", "overlap", "duration", "mixtures", "count_accuracy", "right_order")
"""Names that stand beside those of metrics in `score.json`."""


def own_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """A user's own metrics, each named as `module:function`; it is called as the function.

    Raises:
        UserError: There is no such function, or something else has its name already.
    """
    found: dict[str, Metric] = {}
    for name in names:
        function = find_part("--metric", name, {})
        own = function.__name__
        if own in METRICS or own in RESERVED or own in found:
            what = "a metric of the package" if own in METRICS else "taken" if own in RESERVED else "given twice"
            raise UserError(f"--metric {name}: {own} is {what}; give yours another name")
        found[own] = function
    return found


TITLES = {"cpwer": "cpWER", "orc_wer": "ORC-WER", "ref_permutation_wer": "ref-permutation WER"}


def title(metric: str) -> str:
    """The name of a metric in running text: cpWER, order WER."""
    return TITLES.get(metric, metric.replace("_", " ").replace("wer", "WER"))


def long_title(metric: str) -> str:
    """The name of a metric in headings: it says which one the papers report."""
    return title(metric) + " (the papers' WER)" * (metric == "order_wer")
