"""Scores of one system on one test set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from espnet2_sop.io.errors import UserError
from espnet2_sop.scoring.metrics import METRICS, OF_UTTERANCES, Metric, errors_of_talkers
from espnet2_sop.scoring.orc import TooMany
from espnet2_sop.scoring.rates import ErrorCount, Talkers
from espnet2_sop.scoring.transcripts import Session, of_text, words_of_talkers


@dataclass(frozen=True)
class SetScore:
    """Error counts and talker counts of every mixture of a set, and their totals.

    Attributes:
        counts: {mixture id: {metric: errors}}, in the order of the reference.
        talkers: {mixture id: (talkers of the reference, talkers of the hypothesis)}.
        slots: {mixture id: the parts of cpWER, of each reference talker and of each surplus one of the hypothesis}.
        missing: Ids without hypothesis; all their words are counted as deletions.
        left_out: {metric: the first mixture that is too large for it, and why}; it has no counts at all.
    """

    counts: dict[str, dict[str, ErrorCount]]
    talkers: dict[str, tuple[int, int]]
    slots: dict[str, list[ErrorCount]]
    missing: list[str]
    left_out: dict[str, str] = field(default_factory=dict)

    def total(self, metric: str) -> ErrorCount:
        """Errors of a metric, added up over all mixtures."""
        return sum((count[metric] for count in self.counts.values()), ErrorCount())

    @property
    def count_accuracy(self) -> float:
        """Share of mixtures with as many hypothesis talkers as reference talkers."""
        return sum(map(self.right_count, self.talkers)) / len(self.talkers)

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
        return sum(map(self.in_order, self.counts)) / len(self.counts)

    def right_count(self, key: str) -> bool:
        """Whether a mixture has as many talkers in the hypothesis as in the reference."""
        ref, hyp = self.talkers[key]
        return ref == hyp

    def in_order(self, key: str) -> bool:
        """Whether no other order of the talkers has fewer errors."""
        return self.counts[key]["slot_wer"].errors == self.counts[key]["cpwer"].errors


def talker_words(text: str) -> Talkers:
    """Serialized text to the normalised words of each talker; talkers without words are dropped."""
    return words_of_talkers(of_text(text))


def score_set(ref: dict[str, str], hyp: dict[str, str]) -> SetScore:
    """Scores serialized texts as `score_sessions` does.

    Args:
        ref, hyp: {mixture id: serialized text}.

    Returns:
        What was counted.
    """
    return score_sessions(*({key: of_text(text) for key, text in side.items()} for side in (ref, hyp)))


def score_sessions(
    ref: dict[str, Session], hyp: dict[str, Session], metrics: Mapping[str, Metric] = METRICS
) -> SetScore:
    """Scores hypotheses with every metric.

    Args:
        ref, hyp: {mixture id: session}. A missing hypothesis counts as an empty one. The order of ids does not matter.
        metrics: What is computed, by name; cpWER and slot WER, which tell whether the order is right, always are.

    Returns:
        What was counted.

    Raises:
        UserError: No common ids, or a hypothesis without reference.
    """
    if not ref.keys() & hyp.keys():
        raise UserError("no mixture has both a reference and a hypothesis; do they belong together?")
    if unknown := [key for key in hyp if key not in ref]:
        raise UserError(f"{name_ids(unknown)} not in the reference; score against the set that was decoded")
    sides = {key: (words_of_talkers(session), words_of_talkers(hyp.get(key, []))) for key, session in ref.items()}
    slots = {key: [ErrorCount(*part) for part in errors_of_talkers(*side)] for key, side in sides.items()}
    counts = {key: {"cpwer": sum(parts, ErrorCount())} for key, parts in slots.items()}
    left_out = {}
    for name, metric in {**metrics, "slot_wer": METRICS["slot_wer"]}.items():
        if name == "cpwer":
            continue
        found = {}
        for key, side in sides.items():
            try:
                found[key] = metric(utterances(ref[key]) if name in OF_UTTERANCES else side[0], side[1])
            except TooMany as reason:
                left_out[name] = f"{key}: {reason}"
                break
        else:
            for key, count in found.items():
                counts[key][name] = count
    talkers = {key: (len(of_ref), len(of_hyp)) for key, (of_ref, of_hyp) in sides.items()}
    return SetScore(counts, talkers, slots, [key for key in ref if key not in hyp], left_out)


def utterances(session: Session) -> Talkers:
    """The words of each utterance of a session."""
    return [utterance.words for utterance in session]


def name_ids(ids: list[str], limit: int = 10) -> str:
    """Names mixtures in a message.

    Args:
        ids: Their ids.
        limit: Most ids to name.

    Returns:
        Their number and the first of them.
    """
    more = ", ..." if len(ids) > limit else ""
    return f"{len(ids)} mixture{'s' * (len(ids) > 1)} ({', '.join(ids[:limit])}{more})"
