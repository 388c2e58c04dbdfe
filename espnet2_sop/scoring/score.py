"""Scores of one system on one test set."""

from collections import Counter
from dataclasses import dataclass

from espnet2_sop.errors import UserError
from espnet2_sop.scoring.metrics import METRICS, Talkers
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.text.serialized import normalize, split_talkers


@dataclass(frozen=True)
class SetScore:
    """What was counted in every mixture of a set, and what follows from it.

    Attributes:
        counts: {mixture id: {metric: errors}}, in the order of the reference.
        talkers: {mixture id: (talkers of the reference, talkers of the hypothesis)}.
        missing: Ids without hypothesis; all their words are counted as deletions.
    """

    counts: dict[str, dict[str, ErrorCount]]
    talkers: dict[str, tuple[int, int]]
    missing: list[str]

    def total(self, metric: str) -> ErrorCount:
        return sum((count[metric] for count in self.counts.values()), ErrorCount())

    @property
    def count_accuracy(self) -> float:
        """Share of mixtures with as many hypothesis talkers as reference talkers."""
        return sum(ref == hyp for ref, hyp in self.talkers.values()) / len(self.talkers)

    @property
    def confusion(self) -> dict[int, dict[int, int]]:
        """{talkers of the reference: {talkers of the hypothesis: number of mixtures}}."""
        table: dict[int, dict[int, int]] = {}
        for (ref, hyp), number in sorted(Counter(self.talkers.values()).items()):
            table.setdefault(ref, {})[hyp] = number
        return table

    @property
    def right_order(self) -> float:
        """Share of mixtures where no other order of the talkers has fewer errors (ties count as right)."""
        right = (count["slot_wer"].errors == count["cpwer"].errors for count in self.counts.values())
        return sum(right) / len(self.counts)


def talker_words(text: str) -> Talkers:
    """Serialized text to the normalised words of each talker; talkers without words are dropped."""
    words = (normalize(talker).split() for talker in split_talkers(text))
    return [talker for talker in words if talker]


def score_set(ref: dict[str, str], hyp: dict[str, str]) -> SetScore:
    """Scores serialized hypotheses with every metric.

    Args:
        ref, hyp: {mixture id: serialized text}. A missing hypothesis counts as an empty one.

    Raises:
        UserError: No common ids, or a hypothesis without reference.
    """
    if not ref.keys() & hyp.keys():
        raise UserError("no mixture has both a reference and a hypothesis; do the folders belong together?")
    if unknown := [key for key in hyp if key not in ref]:
        raise UserError(f"{name_ids(unknown)} not in the reference; score against the set that was decoded")
    counts, talkers = {}, {}
    for key, text in ref.items():
        ref_words, hyp_words = talker_words(text), talker_words(hyp.get(key, ""))
        counts[key] = {name: metric(ref_words, hyp_words) for name, metric in METRICS.items()}
        talkers[key] = (len(ref_words), len(hyp_words))
    return SetScore(counts, talkers, [key for key in ref if key not in hyp])


def name_ids(ids: list[str], limit: int = 10) -> str:
    """Number and names of mixtures for a message, the first `limit` of them."""
    more = ", ..." if len(ids) > limit else ""
    return f"{len(ids)} mixture{'s' * (len(ids) > 1)} ({', '.join(ids[:limit])}{more})"
