"""LibriMix metadata CSVs to mixtures."""

import csv
import functools
from collections.abc import Iterable
from pathlib import Path

from espnet2_sop.errors import UserError
from espnet2_sop.files import open_text
from espnet2_sop.mixture.audio import num_samples
from espnet2_sop.mixture.manifest import Mixture, Noise, Source
from espnet2_sop.mixture.pool import speaker_of, text_of

CONDITIONS = ("clean", "noisy")


def _columns(csv_path: Path, header: list[str], condition: str) -> tuple[int, list[str]]:
    """Number of talkers and names of the offset columns of talkers 2, 3, ..., after checking all columns."""
    num_talkers = 0
    while f"source_{num_talkers + 1}_path" in header:
        num_talkers += 1
    needed = ["mixture_ID"]
    needed += [f"source_{i}_{kind}" for i in range(1, max(1, num_talkers) + 1) for kind in ("path", "gain")]
    needed += ["noise_path", "noise_gain"] if condition == "noisy" else []
    if missing := [name for name in needed if name not in header]:
        raise UserError(f"{csv_path}: missing column {', '.join(missing)}; columns are {', '.join(header)}")
    offsets = [f"offset{i}" for i in range(1, num_talkers)]
    if num_talkers == 2 and "offset" in header:
        offsets = ["offset"]
    if missing := [name for name in offsets if name not in header]:
        names = "offset" if num_talkers == 2 else ", ".join(missing)
        raise UserError(
            f"{csv_path}: missing column {names}: {num_talkers} talkers need {num_talkers - 1} start offset(s) in"
            " seconds from the start of talker 1; without them the order of talkers is not defined"
        )
    return num_talkers, offsets


def _number(row: dict[str, str], column: str, where: str) -> float:
    try:
        return float(row[column])
    except (TypeError, ValueError):
        raise UserError(f"{where}: column {column!r} must be a number, got {row[column]!r}") from None


def _check_files(csv_path: Path, files: Iterable[Path]) -> None:
    if missing := [str(path) for path in dict.fromkeys(files) if not path.is_file()]:
        raise UserError(
            f"{csv_path}: {len(missing)} audio file(s) are missing, such as {', '.join(missing[:3])};"
            " check the folders of speech and noise"
        )


@functools.cache
def _length(path: Path) -> int:
    return num_samples(path)


def _sources(row: dict[str, str], num_talkers: int, offsets: list[str], root: Path, where: str) -> tuple[Source, ...]:
    sources = []
    for i in range(1, num_talkers + 1):
        path = root / row[f"source_{i}_path"]
        onset = _number(row, offsets[i - 2], where) if i > 1 else 0.0
        if not onset >= 0:
            raise UserError(f"{where}: column {offsets[i - 2]!r} must not be negative, got {onset}")
        gain = _number(row, f"source_{i}_gain", where)
        sources.append(Source(str(path), speaker_of(path.stem), text_of(path), onset, gain, _length(path)))
    return tuple(sorted(sources, key=lambda source: source.onset))


def read_librimix_csv(
    csv_path: str | Path, speech_root: str | Path, noise_root: str | Path | None, condition: str, mode: str = "max"
) -> list[Mixture]:
    """Reads one LibriMix metadata CSV (`libri2mix_test-clean.csv`, or its counterpart with start offsets).

    Columns are found by name: `mixture_ID`, `source_i_path` and `source_i_gain` for each talker, `noise_path` and
    `noise_gain`, and start offsets in seconds after talker 1: `offset` (or `offset1`) with two talkers, `offset1`
    and `offset2` with three. The offsets of two talkers are those that ESPnet publishes for Libri2Mix. Texts come
    from LibriSpeech's `*.trans.txt` beside the audio.

    Args:
        csv_path: The CSV.
        speech_root: LibriSpeech folder, to which source paths are relative.
        noise_root: WHAM noise folder, to which noise paths are relative; needed if noisy.
        condition: "clean" leaves the noise out, "noisy" adds it.
        mode: "max" or "min".

    Returns:
        Mixtures in the order of the CSV, their sources in order of onset.

    Raises:
        UserError: A column is missing, a value is not a number, a mixture_ID comes twice, audio files are
            missing (all are counted) or unusable, or audio has no text.
    """
    csv_path, root = Path(csv_path), Path(speech_root)
    if condition not in CONDITIONS:
        raise UserError(f"condition {condition!r}; one of: {', '.join(CONDITIONS)}")
    if condition == "noisy" and noise_root is None:
        raise UserError(f"{csv_path}: the noisy condition needs the folder of noises")
    with open_text(csv_path) as f:
        reader = csv.DictReader(f)
        num_talkers, offsets = _columns(csv_path, list(reader.fieldnames or []), condition)
        rows = list(reader)
    if not rows:
        raise UserError(f"{csv_path}: no mixtures in it")
    if ragged := [number for number, row in enumerate(rows, 2) if None in row or None in row.values()]:
        raise UserError(f"{csv_path}, line {ragged[0]}: not as many values as there are columns")
    files = [root / row[f"source_{i}_path"] for row in rows for i in range(1, num_talkers + 1)]
    noises = [Path(noise_root) / row["noise_path"] for row in rows] if condition == "noisy" and noise_root else []
    _check_files(csv_path, files + noises)
    mixtures: dict[str, Mixture] = {}
    for number, row in enumerate(rows, 2):
        where, name = f"{csv_path}, line {number}", row["mixture_ID"]
        if len(name.split()) != 1 or name in mixtures:
            raise UserError(f"{where}: mixture_ID {name!r} must be without blanks and come once only")
        noise = Noise(str(noises[number - 2]), 0, _number(row, "noise_gain", where)) if noises else None
        mixtures[name] = Mixture(name, _sources(row, num_talkers, offsets, root, where), noise, mode=mode)
    return list(mixtures.values())
