"""Durations, overlap and word statistics of data directories."""

from collections import Counter
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.datadir import read_info
from espnet2_sop.mixture.loader import MixtureStore
from espnet2_sop.mixture.manifest import Mixture


def read_mixtures(folder: Path) -> list[Mixture]:
    """Reads the mixtures of a data directory; of a simulation those of epoch 1.

    Raises:
        UserError: There is no such data directory, or one of its files is broken.
    """
    path = folder / "simulation.yaml"
    if not path.is_file():
        if not folder.is_dir():
            raise UserError(f"{folder}: no such data directory")
        read_info(folder)
        path = folder / "mixtures.jsonl"
    return list(MixtureStore(path).mixtures.values())


def statistics(mixtures: list[Mixture], vocabulary=None) -> dict[str, object]:
    """Computes the statistics of one set of mixtures.

    Args:
        mixtures: At least one.
        vocabulary: SentencePiece vocabulary; tokens are counted if it is given.

    Returns:
        {"mixtures", "hours", "mean_duration", "max_duration" (s), "talkers": {number: mixtures}, "overlap_ratio",
        "words", "words_per_second"} and, with a vocabulary, {"tokens", "tokens_per_second"}.
    """
    durations = [mixture.duration for mixture in mixtures]
    sources = [source for mixture in mixtures for source in mixture.sources]
    speech = sum(source.length for source in sources) / SAMPLE_RATE
    words = sum(len(source.text.split()) for source in sources)
    numbers = {
        "mixtures": len(mixtures),
        "hours": round(sum(durations) / 3600, 3),
        "mean_duration": round(sum(durations) / len(durations), 2),
        "max_duration": round(max(durations), 2),
        "talkers": dict(sorted(Counter(mixture.num_talkers for mixture in mixtures).items())),
        "overlap_ratio": round(sum(mixture.overlap_ratio for mixture in mixtures) / len(mixtures), 3),
        "words": words,
        "words_per_second": round(words / speech, 2),
    }
    if vocabulary is not None:
        tokens = sum(len(vocabulary.encode(source.text)) for source in sources)
        numbers |= {"tokens": tokens, "tokens_per_second": round(tokens / speech, 2)}
    return numbers


def markdown(sets: dict[str, dict[str, object]]) -> str:
    """Renders the statistics of all sets as a Markdown table, one row per set."""
    names = list(next(iter(sets.values())))
    rows = ["| set | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, numbers in sets.items():
        cells = [
            ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
            for value in numbers.values()
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)
