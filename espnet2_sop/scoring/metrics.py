"""Word error rates for mixtures. A new metric is one function and one row in `METRICS`.

Every metric takes the words of each talker, reference and hypothesis, and returns one ErrorCount. The first line of
its docstring defines it in the reports.
"""

from collections.abc import Callable
from itertools import permutations, zip_longest

from espnet2_sop.scoring.rates import ErrorCount, word_errors

Talkers = list[list[str]]


def order_wer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """one edit distance over the words of all talkers in order of onset, `<sc>` removed"""
    return word_errors(sum(ref, []), sum(hyp, []))


def slot_wer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """talker i of the hypothesis against talker i of the reference, missing and extra talkers counted"""
    return sum((word_errors(r, h) for r, h in zip_longest(ref, hyp, fillvalue=[])), ErrorCount())


def cpwer(ref: Talkers, hyp: Talkers) -> ErrorCount:
    """best assignment of hypothesis talkers to reference talkers, missing and extra talkers counted

    A talker without partner meets an empty one: all its words are deletions or insertions. Same errors as meeteval's
    `cp_word_error_rate` (concatenated minimum-permutation WER, CHiME-6).
    """
    size = max(len(ref), len(hyp))
    ref, hyp = ref + [[]] * (size - len(ref)), hyp + [[]] * (size - len(hyp))
    pairs = [[word_errors(r, h) for h in hyp] for r in ref]
    columns = assign([[pair.errors for pair in row] for row in pairs])
    return sum((row[column] for row, column in zip(pairs, columns, strict=True)), ErrorCount())


def assign(cost: list[list[int]]) -> list[int]:
    """The column of each row for which the sum of a square cost table is smallest."""
    if len(cost) <= 3:  # six permutations at most: cheaper than to load scipy, and the identity wins ties
        return list(min(permutations(range(len(cost))), key=lambda p: sum(map(list.__getitem__, cost, p))))
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)[1].tolist()


METRICS: dict[str, Callable[[Talkers, Talkers], ErrorCount]] = {
    "cpwer": cpwer,
    "order_wer": order_wer,
    "slot_wer": slot_wer,
}


def title(metric: str) -> str:
    """The name of a metric in running text: cpWER, order WER."""
    return metric.replace("_", " ").replace("wer", "WER")
