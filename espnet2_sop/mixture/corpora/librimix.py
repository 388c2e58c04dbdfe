"""LibriMix metadata CSVs to mixtures."""

import contextlib
import csv
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, is_name, open_text
from espnet2_sop.io.json_shapes import is_number
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.corpora.headers import read_lengths
from espnet2_sop.mixture.corpora.wham import AUGMENTED, find_noises
from espnet2_sop.mixture.manifest import Mixture, Noise, Source
from espnet2_sop.mixture.simulation.pool import speaker_of, text_of

CONDITIONS = ("clean", "noisy")
SHOWN = 3  # missing files in a message


@dataclasses.dataclass(frozen=True)
class Metadata:
    """One metadata CSV.

    Attributes:
        path: The CSV.
        header: Names of its columns.
        rows: {column: value}, a row for each mixture.
        num_talkers: Talkers of each mixture.
    """

    path: Path
    header: list[str]
    rows: list[dict[str, str]]
    num_talkers: int

    @property
    def offsets(self) -> list[str]:
        """Offset columns of talkers 2, 3, ...: `offset` (or `offset1`) for two talkers, `offset1`, ... for more."""
        if self.num_talkers == 2 and ("offset" in self.header or "offset1" not in self.header):
            return ["offset"]
        return [f"offset{i}" for i in range(1, self.num_talkers)]

    def where(self, index: int) -> str:
        """ "file, line n" of a row, for messages."""
        return f"{self.path}, line {index + 2}"

    def need(self, columns: Sequence[str], why: str = "") -> None:
        """Requires columns.

        Args:
            columns: Names.
            why: End of the message; the columns that the file has when not given.

        Raises:
            UserError: Names the missing columns.
        """
        if missing := [name for name in columns if name not in self.header]:
            raise UserError(
                f"{self.path}: missing column {', '.join(missing)}" + (why or f"; columns are {', '.join(self.header)}")
            )


def read_metadata(path: str | Path) -> Metadata:
    """Reads a LibriMix metadata CSV.

    Raises:
        UserError: No columns of talkers or ids, no rows, a row with too few or too many values, a mixture_ID that has
            blanks or is duplicated.
    """
    path = Path(path)
    with open_text(path) as f:
        reader = csv.DictReader(f)
        try:
            header, rows = list(reader.fieldnames or []), list(reader)
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: broken CSV ({error})") from None
    num_talkers = 0
    while f"source_{num_talkers + 1}_path" in header:
        num_talkers += 1
    metadata = Metadata(path, header, rows, num_talkers)
    talkers = range(1, max(1, num_talkers) + 1)
    metadata.need(["mixture_ID", *(f"source_{i}_{kind}" for i in talkers for kind in ("path", "gain"))])
    if not rows:
        raise UserError(f"{path}: no mixtures in it")
    seen = set()
    for index, row in enumerate(rows):
        if None in row or None in row.values():
            raise UserError(f"{metadata.where(index)}: not as many values as there are columns")
        name = row["mixture_ID"]
        if not is_name(name) or name in seen:
            raise UserError(f"{metadata.where(index)}: mixture_ID {name!r} must be without blanks and come once only")
        seen.add(name)
    return metadata


def _number(row: dict[str, str], column: str, where: str) -> float:
    with contextlib.suppress(ValueError):
        if is_number(value := float(row[column])):
            return value
    raise UserError(f"{where}: column {column!r} must be a number, got {row[column]!r}")


def _onset(row: dict[str, str], column: str, where: str) -> float:
    """An offset, truncated to whole samples as in ESPnet's script."""
    offset = _number(row, column, where)
    if offset < 0:
        raise UserError(f"{where}: column {column!r} must not be negative, got {offset}")
    return int(offset * SAMPLE_RATE) / SAMPLE_RATE


def _mixtures(
    metadata: Metadata, spoken: Mapping[str, Source], noises: Mapping[str, str], noisy: bool, mode: str
) -> list[Mixture]:
    """The mixtures of one CSV. `spoken`: {source_path: source alone}; `noises`: {noise_path: file}."""
    mixtures = []
    for index, row in enumerate(metadata.rows):
        where, sources = metadata.where(index), []
        for i, column in enumerate([None, *metadata.offsets], 1):
            onset = _onset(row, column, where) if column else 0.0
            gain = _number(row, f"source_{i}_gain", where)
            sources.append(dataclasses.replace(spoken[row[f"source_{i}_path"]], onset=onset, gain=gain))
        sources.sort(key=lambda source: source.onset)
        noise = Noise(noises[row["noise_path"]], 0, _number(row, "noise_gain", where)) if noisy else None
        mixtures.append(Mixture(row["mixture_ID"], tuple(sources), noise, mode=mode, peak="clip"))
    return mixtures


def _check_files(tables: Sequence[Metadata], files: Sequence[str], listing: Path | None) -> None:
    """Writes missing files to `listing` and raises; removes an old `listing` if none are missing."""
    missing = [path for path in files if not os.path.isfile(path)]
    if listing is not None and not missing:
        listing.unlink(missing_ok=True)
    if not missing:
        return
    told = ""
    if listing is not None:
        with atomic_write(listing) as f:
            f.writelines(f"{path}\n" for path in missing)
        told = f"; all are listed in {listing}"
    if any(AUGMENTED.fullmatch(path) for path in missing):
        told += "; noises of changed speed (sp08, sp12) are made with --noise_augmented DIR"
    raise UserError(
        f"{', '.join(str(table.path) for table in tables)}: {len(missing)} audio file(s) are missing, such as"
        f" {', '.join(missing[:SHOWN])}{told}; check the folders of speech and noise"
    )


def _tables(csv_paths: Sequence[str | Path], noisy: bool) -> list[Metadata]:
    """Reads the CSVs and requires the columns that are needed."""
    tables = [read_metadata(path) for path in csv_paths]
    for table in tables:
        table.need(["noise_path", "noise_gain"] if noisy else [])
        table.need(
            table.offsets,
            f": {table.num_talkers} talkers need {table.num_talkers - 1} start offset(s) in seconds from the start of"
            " talker 1; without them the order of talkers is not defined; `espnet2-sop prepare offsets` draws them",
        )
    return tables


def _spoken(path: str, num_samples: int) -> Source:
    """One talker alone."""
    file = Path(path)
    return Source(str(file), speaker_of(file.stem), text_of(file), 0.0, 1.0, num_samples)


def read_librimix(
    csv_paths: Sequence[str | Path],
    speech_root: str | Path,
    noise_root: str | Path | None,
    condition: str,
    mode: str = "max",
    noise_augmented: str | Path | None = None,
    missing_list: str | Path | None = None,
    length_cache: str | Path | None = None,
    nj: int = 1,
) -> list[Mixture]:
    """Reads LibriMix metadata CSVs (`libri2mix_test-clean.csv`, or their counterparts with start offsets).

    Columns are found by name: `mixture_ID`, `source_i_path` and `source_i_gain` for each talker, `noise_path` and
    `noise_gain`, and start offsets in seconds after talker 1: `offset` (or `offset1`) with two talkers, `offset1`
    and `offset2` with three. The offsets of two talkers are those that ESPnet publishes for Libri2Mix; `draw_offsets`
    makes others. Texts come from LibriSpeech's `*.trans.txt` beside the audio.

    Args:
        csv_paths: The CSVs. With several of them, or both conditions, ids get a prefix such as `2mix-noisy_`.
        speech_root: LibriSpeech folder, to which source paths are relative.
        noise_root: WHAM noise folder, to which noise paths are relative; needed if noisy.
        condition: "clean" without noise, "noisy" with it, "both" gives each mixture twice.
        mode: "max" or "min".
        noise_augmented: Folder for noises of changed speed that are not in noise_root and are made from the plain ones.
        missing_list: File to which the names of all missing audio files are written.
        length_cache: File that caches the lengths of the sources.
        nj: Processes that make noises.

    Returns:
        Mixtures in the order of the CSVs, their sources in order of onset.

    Raises:
        UserError: A column is missing, a value is not a number, a mixture_ID is duplicated, audio files are missing
            (all are counted) or unusable, or audio has no text.
    """
    conditions = CONDITIONS if condition == "both" else (condition,)
    if condition != "both" and condition not in CONDITIONS:
        raise UserError(f"condition {condition!r}; one of: {', '.join((*CONDITIONS, 'both'))}")
    noisy = "noisy" in conditions
    tables = _tables(csv_paths, noisy)
    if noisy and noise_root is None:
        raise UserError(f"{tables[0].path}: the noisy condition needs the folder of noises")
    names = (row[f"source_{i}_path"] for t in tables for row in t.rows for i in range(1, t.num_talkers + 1))
    paths = {name: os.path.join(speech_root, name) for name in dict.fromkeys(names)}
    wanted = dict.fromkeys(row["noise_path"] for table in tables for row in table.rows) if noisy else {}
    noises = find_noises(wanted, noise_root or "", noise_augmented)
    _check_files(tables, [*paths.values(), *noises.needed], Path(missing_list) if missing_list else None)
    noises.make(nj)
    lengths = read_lengths(paths.values(), length_cache)
    spoken = {name: _spoken(path, lengths[path]) for name, path in paths.items()}
    mixtures = []
    for table in tables:
        for kind in conditions:
            part = _mixtures(table, spoken, noises.paths, kind == "noisy", mode)
            mixtures += with_prefix(part, kind) if len(tables) * len(conditions) > 1 else part
    return mixtures


def with_prefix(mixtures: list[Mixture], condition: str) -> list[Mixture]:
    """Adds number of talkers and condition to the ids.

    Args:
        mixtures: Mixtures.
        condition: "clean" or "noisy".

    Returns:
        The mixtures with ids such as `2mix-noisy_ID`.
    """
    return [dataclasses.replace(m, id=f"{m.num_talkers}mix-{condition}_{m.id}") for m in mixtures]


def at_speeds(mixtures: Sequence[Mixture], speeds: Sequence[float]) -> list[Mixture]:
    """Speed perturbation as in ESPnet.

    Args:
        mixtures: Mixtures at speed 1.
        speeds: Playing speeds; 1.1 makes a mixture 10 % shorter.

    Returns:
        Each mixture at each speed; ids of speeds other than 1 have a prefix such as `sp0.9-`.
    """
    return [
        m if speed == 1 else dataclasses.replace(m, id=f"sp{speed:g}-{m.id}", speed=speed)
        for speed in speeds
        for m in mixtures
    ]
