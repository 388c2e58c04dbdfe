"""Kaldi-style data directories of mixtures."""

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, is_name, read_kaldi, write_kaldi
from espnet2_sop.io.json_shapes import read_json
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.kaldi_audio import audio_exists
from espnet2_sop.mixture.manifest import Mixture, read_manifest, write_manifest
from espnet2_sop.text.serialized import SC

CONDITIONS = ("clean", "noisy", "both")
TABLES = ("text", "utt2spk", "utt2num_spk", "onsets", "utt2overlap", "utt2dur")
JOINT = f" {SC} "
STRAY = f"{string.whitespace}|"  # at the ends of a path: Kaldi would cut it short, or run it as a command


def _text_of_talker(mixture: Mixture, talker: int) -> str:
    """Text of a talker (from 1) in order of onset; empty if there are fewer."""
    return mixture.sources[talker - 1].text if talker <= mixture.num_talkers else ""


def _onsets(mixture: Mixture) -> str:
    return " ".join(f"{onset:.3f}" for onset in mixture.onsets)


def _speakers(mixture: Mixture) -> str:
    """Names of the speakers joined by `_`, which also replaces blanks in a name, because Kaldi needs one word."""
    return "_".join(" ".join(source.speaker for source in mixture.sources).split())


def _wav_scp(mixtures: Sequence[Mixture]) -> dict[str, str]:
    """{id: audio file} if every mixture is stored as a file of its own, otherwise empty."""
    recordings = [mixture.recording for mixture in mixtures]
    if any(recording is None or recording.offset_samples for recording in recordings):
        return {}
    return {mixture.id: recording.path for mixture, recording in zip(mixtures, recordings, strict=True)}


def _segments(mixtures: Sequence[Mixture]) -> list[dict[str, Any]]:
    """Reference SegLST: one segment per talker, named 1, 2, ... in order of onset."""
    return [
        {
            "session_id": mixture.id,
            "speaker": str(talker),
            "start_time": round(start / SAMPLE_RATE, 4),
            "end_time": round(end / SAMPLE_RATE, 4),
            "words": source.text,
        }
        for mixture in mixtures
        for talker, (source, (start, end)) in enumerate(zip(mixture.sources, mixture.spans, strict=True), 1)
    ]


def write_data_dir(
    mixtures: Sequence[Mixture], folder: str | Path, condition: str, num_talkers: int | None = None
) -> None:
    """Writes a data directory. Every file is sorted by id; `info.json` is written last and marks it as complete.

    Files: `mixtures.jsonl`, `text` (serialized), `text_spk1` ... (an empty value where there are fewer talkers),
    `utt2spk` (speakers joined by `_`), `utt2num_spk`, `onsets` (s), `utt2overlap`, `utt2dur` (s), `ref.seglst.json` and
    `info.json`; `wav.scp` if every waveform is stored in a file of its own.

    Args:
        mixtures: At least one.
        folder: Where to write.
        condition: "clean", "noisy" or "both".
        num_talkers: Talkers in each mixture; None if their number varies.

    Raises:
        UserError: There are no mixtures, an id is duplicated or has blanks, the condition is unknown, or a mixture has
            another number of talkers.
    """
    folder, mixtures = Path(folder), sorted(mixtures, key=lambda mixture: mixture.id)
    if not mixtures:
        raise UserError(f"{folder}: no mixtures to write")
    if condition not in CONDITIONS:
        raise UserError(f"{folder}: condition {condition!r}; one of: {', '.join(CONDITIONS)}")
    for mixture in mixtures:
        if not is_name(mixture.id):
            raise UserError(f"{folder}: id {mixture.id!r} has blanks or characters that cannot be seen; rename it")
        if (recording := mixture.recording) and recording.path != recording.path.strip(STRAY):
            raise UserError(f"{folder}: {mixture.id}: {recording.path!r} would be no file in wav.scp; rename it")
    for mixture, following in zip(mixtures, mixtures[1:], strict=False):
        if mixture.id == following.id:
            raise UserError(f"{folder}: id {mixture.id!r} comes twice; ids must be unique")
    if num_talkers and (other := [m.id for m in mixtures if m.num_talkers != num_talkers]):
        raise UserError(f"{folder}: {len(other)} mixtures have not {num_talkers} talkers, such as {other[0]!r}")
    (folder / "info.json").unlink(missing_ok=True)
    for old in [*folder.glob("text_spk*"), folder / "wav.scp"]:
        old.unlink(missing_ok=True)
    write_manifest(folder / "mixtures.jsonl", mixtures)
    if scp := _wav_scp(mixtures):
        write_kaldi(folder / "wav.scp", scp.items())
    write_kaldi(folder / "text", ((m.id, m.text) for m in mixtures))
    for talker in range(1, max(m.num_talkers for m in mixtures) + 1):
        write_kaldi(folder / f"text_spk{talker}", ((m.id, _text_of_talker(m, talker)) for m in mixtures))
    write_kaldi(folder / "utt2spk", ((m.id, _speakers(m)) for m in mixtures))
    write_kaldi(folder / "utt2num_spk", ((m.id, m.num_talkers) for m in mixtures))
    write_kaldi(folder / "onsets", ((m.id, _onsets(m)) for m in mixtures))
    write_kaldi(folder / "utt2overlap", ((m.id, f"{m.overlap_ratio:.4f}") for m in mixtures))
    write_kaldi(folder / "utt2dur", ((m.id, f"{m.duration:.3f}") for m in mixtures))
    with atomic_write(folder / "ref.seglst.json") as f:
        json.dump(_segments(mixtures), f, ensure_ascii=False, indent=1)
    with atomic_write(folder / "info.json") as f:
        json.dump({"num_talkers": num_talkers, "condition": condition}, f)


def read_info(folder: str | Path) -> dict[str, Any]:
    """Reads `info.json`: {"num_talkers": int or None, "condition": "clean" | "noisy" | "both"}.

    Raises:
        UserError: It is missing (the folder is not complete) or has other contents.
    """
    path = Path(folder) / "info.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a complete data directory (no info.json); prepare it again")
    info = read_json(path, {"num_talkers": (int, None), "condition": str}, "prepare the directory again")
    if info.keys() != {"num_talkers", "condition"}:
        raise UserError(f"{path}: expected the keys 'num_talkers' and 'condition'")
    if info["condition"] not in CONDITIONS:
        raise UserError(f"{path}: condition {info['condition']!r}; one of: {', '.join(CONDITIONS)}")
    return info


def _order_problems(path: Path, ids: list[str]) -> list[str]:
    for number, (name, following) in enumerate(zip(ids, ids[1:], strict=False), 2):
        if name >= following:
            return [f"{path}, line {number}: id {following!r} comes after {name!r}; sort by id"]
    return []


def _id_problems(path: Path, ids: list[str], expected: list[str]) -> list[str]:
    for number, (name, wanted) in enumerate(zip(ids, expected, strict=False), 1):
        if name != wanted:
            return [f"{path}, line {number}: id {name!r} where mixtures.jsonl has {wanted!r}"]
    if len(ids) != len(expected):
        return [f"{path}, line {min(len(ids), len(expected)) + 1}: {len(ids)} ids, mixtures.jsonl has {len(expected)}"]
    return []


def _row_problems(folder: Path, number: int, mixture: Mixture, rows: dict[str, str], talkers: list[str]) -> list[str]:
    """Problems of one mixture. `rows`: {file name: value}; `talkers`: values of text_spk1, ..."""
    problems = []

    def check(good: bool, name: str, what: str) -> None:
        if not good:
            problems.append(f"{folder / name}, line {number}: {what}")

    parts = rows["text"].split(JOINT)
    stray = any(SC in part or part != " ".join(part.split()) or not part for part in parts)
    check(not stray, "text", f"talkers must be joined by exactly {JOINT!r}, words by single spaces: {rows['text']!r}")
    check(rows["text"] == mixture.text, "text", "differs from the sources of mixtures.jsonl")
    filled = parts + [""] * (len(talkers) - len(parts))
    for talker, (text, wanted) in enumerate(zip(talkers, filled, strict=False), 1):
        check(text == wanted, f"text_spk{talker}", f"{text!r}, but talker {talker} in text says {wanted!r}")
    check(len(parts) <= len(talkers), "text", f"{len(parts)} talkers, but only {len(talkers)} files text_spk*")
    count = str(mixture.num_talkers)
    check(rows["utt2num_spk"] == count, "utt2num_spk", f"{rows['utt2num_spk']} talkers, mixtures.jsonl has {count}")
    onsets = _onsets(mixture)
    check(rows["onsets"] == onsets, "onsets", f"{rows['onsets']!r}, mixtures.jsonl has {onsets!r}")
    for name, value in (("utt2dur", f"{mixture.duration:.3f}"), ("utt2overlap", f"{mixture.overlap_ratio:.4f}")):
        check(rows[name] == value, name, f"{rows[name]}, mixtures.jsonl gives {value}")
    return problems


def _segment_problems(folder: Path, mixtures: Sequence[Mixture]) -> list[str]:
    path = folder / "ref.seglst.json"
    segments = read_json(path)
    return [] if segments == _segments(mixtures) else [f"{path}: differs from the sources of mixtures.jsonl"]


def _wav_scp_problems(folder: Path, mixtures: Sequence[Mixture]) -> list[str]:
    path, expected = folder / "wav.scp", _wav_scp(mixtures)
    if not expected:
        return [f"{path}: not all waveforms are stored; remove it"] if path.exists() else []
    table = read_kaldi(path)
    problems = _id_problems(path, list(table), list(expected))
    for number, name in enumerate(expected, 1):
        if table.get(name, expected[name]) != expected[name]:
            problems.append(f"{path}, line {number}: {table[name]}, mixtures.jsonl has {expected[name]}")
    return problems


def check_data_dir(folder: str | Path) -> list[str]:
    """Checks that the files of a data directory agree and that the audio exists.

    Ids are the same and sorted in all files, onsets sorted, ` <sc> ` written in one way, `text_spk*`, counts,
    onsets, durations, overlap and stored waveforms as in the manifest.

    Returns:
        Problems as "file, line n: what"; empty if there are none. If a file cannot be read, only that is reported.
    """
    folder = Path(folder)
    try:
        info = read_info(folder)
        mixtures = read_manifest(folder / "mixtures.jsonl")
        tables = {name: read_kaldi(folder / name) for name in TABLES}
        most = max((mixture.num_talkers for mixture in mixtures), default=0)
        talkers = [read_kaldi(folder / f"text_spk{talker}") for talker in range(1, most + 1)]
        problems = _segment_problems(folder, mixtures) + _wav_scp_problems(folder, mixtures)
    except UserError as error:
        return [str(error)]
    ids = [mixture.id for mixture in mixtures]
    problems += _order_problems(folder / "mixtures.jsonl", ids)
    if not ids:
        problems.append(f"{folder / 'mixtures.jsonl'}: no mixtures")
    for name, table in [*tables.items(), *((f"text_spk{i}", table) for i, table in enumerate(talkers, 1))]:
        problems += _id_problems(folder / name, list(table), ids)
    if problems:
        return problems
    missing: dict[str, int] = {}
    for number, mixture in enumerate(mixtures, 1):
        rows = {name: table[mixture.id] for name, table in tables.items()}
        problems += _row_problems(folder, number, mixture, rows, [table[mixture.id] for table in talkers])
        if info["num_talkers"] not in (None, mixture.num_talkers):
            problems.append(f"{folder / 'info.json'}: {info['num_talkers']} talkers, {mixture.id} has another number")
        for path in mixture.audio_paths:
            missing.setdefault(path, number)
    problems += [
        f"{folder / 'mixtures.jsonl'}, line {number}: no such audio file: {path}"
        for path, number in missing.items()
        if not audio_exists(path)
    ]
    return problems
