"""Which mixtures a report shows."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from espnet2_sop.report.experiment import Experiment
from espnet2_sop.scoring.tables.systems import COMPARISONS

Key = tuple[str, str]  # test set, mixture id


@dataclass(frozen=True)
class Example:
    """A mixture to show, and why."""

    test_set: str
    id: str
    reason: str


def main_pair(experiment: Experiment) -> tuple[str, str | None]:
    """The system that the report is about and its rival: the first pair of `COMPARISONS` with a common test set.

    Returns:
        Without such a pair, the last two systems of the tables; no rival where there is one system.
    """
    scored: dict[str, set[str]] = {}
    for result in experiment.results:
        scored.setdefault(result.system, set()).add(result.record["test_set"])
    for system, rival in COMPARISONS:
        if scored.get(system, set()) & scored.get(rival, set()):
            return system, rival
    *_, rival, system = [None, *experiment.systems]
    return system, rival


def choose(experiment: Experiment, number: int) -> list[Example]:
    """Takes mixtures from several rankings in turn: gains, losses, typical ones of each talker count, failures.

    Args:
        experiment: What was scored; mixtures whose reference is gone are left out.
        number: Most examples.

    Returns:
        Distinct mixtures: one id is taken once, though a clean and a noisy set may share it.
    """
    chosen: dict[str, Example] = {}
    waiting = [iter(ranking) for ranking in rankings(experiment)]
    while waiting and len(chosen) < number:
        for ranking in list(waiting):
            example = next((example for example in ranking if example.id not in chosen), None)
            if example is None:
                waiting.remove(ranking)
            elif len(chosen) < number:
                chosen[example.id] = example
    return list(chosen.values())


def rankings(experiment: Experiment) -> Iterator[list[Example]]:
    """Lists of examples, the best of each first."""
    system, rival = main_pair(experiment)
    errors: dict[Key, dict[str, int]] = {}
    sizes: dict[Key, tuple[int, int, int]] = {}  # words, talkers of the reference, talkers of the main hypothesis
    for result in experiment.results:
        for name, row in result.record["per_mixture"].items():
            if name in result.test_set.texts:
                key = (result.test_set.name, name)
                errors.setdefault(key, {})[result.system] = sum(row["cpwer"][:3])
                if result.system == system:
                    sizes[key] = (row["cpwer"][3], *row["talkers"])
    rates = {key: errors[key][system] / max(1, words) for key, (words, _, _) in sizes.items()}
    gains = {key: errors[key][rival] - errors[key][system] for key in sizes if rival in errors[key]}

    yield ranked({key: gain for key, gain in gains.items() if gain > 0}, f"{system} has fewer errors than {rival}")
    yield ranked({key: -gain for key, gain in gains.items() if gain < 0}, f"{system} has more errors than {rival}")
    for count in sorted({talkers for _, talkers, _ in sizes.values()}):
        group = {key: rates[key] for key, (_, talkers, _) in sizes.items() if talkers == count}
        middle = statistics.median(group.values())
        reason = f"median of {system} with {count} talker{'s' * (count != 1)}"
        yield ranked({key: -abs(rate - middle) for key, rate in group.items()}, reason)
    yield ranked({key: rate for key, rate in rates.items() if rate > 0}, f"highest error rate of {system}")
    wrong = {key: abs(ref - hyp) for key, (_, ref, hyp) in sizes.items() if ref != hyp}
    yield ranked(wrong, f"wrong number of talkers by {system}")
    spread = {key: max(row.values()) - min(row.values()) for key, row in errors.items() if key in sizes}
    yield ranked({key: value for key, value in spread.items() if value}, "systems differ most")


def ranked(scores: dict[Key, float], reason: str) -> list[Example]:
    """A ranking of mixtures.

    Args:
        scores: {mixture: score}.
        reason: Why they are shown.

    Returns:
        Examples by falling score; of equal ones the earliest first.
    """
    return [Example(*key, reason) for key in sorted(scores, key=lambda key: -scores[key])]
