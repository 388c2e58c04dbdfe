"""Hypotheses, the rows that an interrupted run keeps of them, and the files of a decoded set."""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from espnet2_sop.decoding.statistics import DecodingStatistics
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, is_name, write_kaldi
from espnet2_sop.io.json_shapes import misfit, parse_json
from espnet2_sop.text.ctm import TimedWord, write_ctm
from espnet2_sop.text.serialized import split_talkers

WORD = {"talker": int, "start": float, "duration": float, "word": str, "confidence": float}
ROW = {  # what an interrupted decoding keeps of a mixture, beside its statistics
    **dict.fromkeys(("id", "text", "prompt"), str),
    **{"onsets": [float], "words": [list(WORD.values())], "seconds": float, "audio": float},
}
STATISTICS = {name: int for name in DecodingStatistics.__dataclass_fields__}


class TalkerText(NamedTuple):
    """What was written for one talker.

    Attributes:
        text: Words, one space between them.
        tokens: The tokens as the vocabulary spells them.
        confidence: Geometric mean of the probabilities of the tokens, 0 to 1.
    """

    text: str
    tokens: tuple[str, ...]
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """Output for one mixture.

    Attributes:
        text: Serialized text, talkers joined by ` <sc> `.
        prompt: The serialized output prompt in words, talkers likewise; empty without one.
        onsets: Start in seconds of each prompt talker, read off the CTC peaks; empty where CTC is not used.
        words: The words of the prompt with times, likewise.
        talkers: The talkers of the text, one by one; empty for ESPnet's baseline.
        statistics: Passes and tokens of greedy decoding; they depend on the batch.
    """

    text: str
    prompt: str = ""
    onsets: tuple[float, ...] = ()
    words: tuple[TimedWord, ...] = ()
    talkers: tuple[TalkerText, ...] = field(default=(), compare=False)  # confidences are rounded as the batch has it
    statistics: DecodingStatistics | None = field(default=None, compare=False)


def mean_probability(log_probs: Iterable[float]) -> float:
    """Geometric mean of probabilities, given their logarithms; 0 of none."""
    values = list(log_probs)
    return math.exp(sum(values) / len(values)) if values else 0.0


@contextlib.contextmanager
def append_rows(path: Path) -> Iterator[Callable[[dict], None]]:
    """Opens the file of finished rows, from which an interrupted run goes on.

    Yields:
        A function that appends a row.
    """
    with open(path, "a", encoding="utf-8") as f:

        def append(row: dict) -> None:
            f.write(json.dumps(row) + "\n")
            f.flush()

        yield append


def read_partial(path: Path, fits: Callable[[Any], bool]) -> Iterator[tuple[str, dict]]:
    """Reads the rows of an interrupted run; lines that are cut off or do not fit are dropped.

    Args:
        path: File of `append_rows`; may be missing.
        fits: Whether the run may have written a row.

    Yields:
        Id and row.
    """
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            with atomic_write(path) as f:
                f.writelines(whole)
        for line in whole:
            with contextlib.suppress(UserError):
                row = parse_json(line, str(path))
                if fits(row) and is_name(row["id"]):
                    yield row["id"], row


def is_row(row: Any) -> bool:
    """Whether a decoding may have written a row."""
    if misfit(row, ROW) or row["audio"] <= 0:
        return False
    effort = row.get("effort")
    return (
        effort is None or not misfit(effort, STATISTICS) and effort.keys() == STATISTICS.keys() and effort["tokens"] > 0
    )


def write_hypotheses(out: Path, rows: list[dict]) -> None:
    """Writes hyp.seglst.json, speed.json, prompt, onsets, prompt.ctm; `text` comes last and marks all as complete.

    Files of an earlier decoding are removed.

    Args:
        out: Folder of the set.
        rows: One for each mixture, as `decode_set` keeps them.
    """
    import torch

    for name in ("text", "prompt", "onsets", "prompt.ctm"):
        (out / name).unlink(missing_ok=True)
    segments = [
        {"session_id": row["id"], "speaker": str(number), "words": words}
        for row in rows
        for number, words in enumerate(split_talkers(row["text"]), 1)
    ]
    with atomic_write(out / "hyp.seglst.json") as f:
        json.dump(segments, f, indent=0)
    spent, audio = sum(row["seconds"] for row in rows), sum(row["audio"] for row in rows)
    with atomic_write(out / "speed.json") as f:
        json.dump({"real_time_factor": spent / audio, "audio_seconds": audio, "threads": torch.get_num_threads(),
                   "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None, **passes(rows)},
                  f)  # fmt: skip
    if any(row["prompt"] for row in rows):
        write_kaldi(out / "prompt", ((row["id"], row["prompt"]) for row in rows))
    if any(row["onsets"] for row in rows):
        write_kaldi(out / "onsets", ((row["id"], " ".join(f"{s:.3f}" for s in row["onsets"])) for row in rows))
    if any(row["words"] for row in rows):
        write_ctm(out / "prompt.ctm", ((row["id"], [TimedWord(*word) for word in row["words"]]) for row in rows))
    write_kaldi(out / "text", ((row["id"], row["text"]) for row in rows))


def passes(rows: list[dict]) -> dict[str, float | None]:
    """Entries of speed.json about the LLM's passes, over the rows for which they were counted."""
    statistics = [DecodingStatistics(**row["effort"]) for row in rows if row.get("effort")]
    if not statistics:
        return {}
    total = sum(statistics, DecodingStatistics())
    return {
        "passes_per_mixture": total.passes / len(statistics),
        "tokens_per_mixture": total.tokens / len(statistics),
        "draft_acceptance": total.accepted / total.verified if total.verified else None,
        "written_by_draft": total.accepted / total.tokens,
    }
