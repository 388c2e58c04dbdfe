"""LibriSpeechMix lists (Kanda et al., Interspeech 2020) to mixtures."""

import os
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import is_name
from espnet2_sop.io.json_shapes import NUMBER, is_number
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import num_samples
from espnet2_sop.mixture.corpora.spans import require_files
from espnet2_sop.mixture.manifest import Mixture, Source, read_json_lines
from espnet2_sop.text.serialized import words_of_talker

TALKER_KEYS = {"wavs": str, "texts": str, "speakers": str, "delays": NUMBER}  # one value for each talker


def _record(where: str, record: Any) -> dict[str, Any]:
    """A line of a list after a check of the keys that are used; others (genders, speaker_profile, ...) are ignored."""
    if not isinstance(record, dict) or (missing := [key for key in ("id", *TALKER_KEYS) if key not in record]):
        what = f"without the key {', '.join(map(repr, missing))}" if isinstance(record, dict) else "that is no object"
        raise UserError(f"{where}: a mixture {what}; needed are id, {', '.join(TALKER_KEYS)}")
    name = record["id"]
    if not is_name(name) or name.endswith("/"):
        raise UserError(f"{where}: 'id' must be a name without blanks, got {name!r}")
    kinds = TALKER_KEYS | ({"durations": NUMBER} if "durations" in record else {})
    for key, kind in kinds.items():
        values = record[key]
        if not isinstance(values, list) or not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
            raise UserError(f"{where}: {key!r} of {name} must be a list with one value for each talker")
    sizes = {key: len(record[key]) for key in kinds}
    if len(set(sizes.values())) > 1 or not sizes["wavs"]:
        raise UserError(f"{where}: {name} has {', '.join(f'{size} {key}' for key, size in sizes.items())}")
    if not all(is_number(delay) and delay >= 0 for delay in record["delays"]):
        raise UserError(f"{where}: 'delays' of {name} must be seconds from 0 on, got {record['delays']}")
    return record


def _audio_file(root: Path, wav: str) -> Path:
    """Path of a source below the LibriSpeech folder: the lists name .wav files, LibriSpeech has .flac."""
    path = root / wav
    return path if os.path.isfile(path) or not path.name else path.with_suffix(".flac")


def _source(where: str, record: dict[str, Any], talker: int, path: Path, length: int) -> Source:
    text = words_of_talker(record["texts"][talker], where)
    if not text:
        raise UserError(f"{where}: talker {talker + 1} has no words")
    if "durations" in record and abs(length / SAMPLE_RATE - record["durations"][talker]) > 0.001:
        raise UserError(f"{where}: {path} has {length / SAMPLE_RATE} s, the list says {record['durations'][talker]} s")
    onset = int(record["delays"][talker] * SAMPLE_RATE) / SAMPLE_RATE  # cut off, not rounded
    return Source(str(path), record["speakers"][talker], text, onset, 1.0, length)


def read_librispeechmix(path: str | Path, speech_root: str | Path) -> list[Mixture]:
    """Reads one list, such as `test-clean-2mix.jsonl`.

    Mixtures are as the generator of LibriSpeechMix (`utils/mix_wavs.py`) makes them: a talker starts after
    `int(16000 * delay)` samples, sources are summed without gains, and the sum is clipped to 16 bits. The folder at the
    start of ids (`test-clean-2mix/`) is removed.

    Args:
        path: The list, JSON Lines.
        speech_root: LibriSpeech folder, to which `wavs` are relative.

    Returns:
        Mixtures in the order of the list, their sources in order of onset.

    Raises:
        UserError: Broken JSON (with its line), keys missing or wrong, audio files missing (all are counted) or of
            another length than in the list, or a duplicate id.
    """
    records = [(where, _record(where, record)) for where, record in read_json_lines(path)]
    root = Path(speech_root)
    if not records:
        raise UserError(f"{path}: no mixtures in it")
    files = {wav: _audio_file(root, wav) for _, record in records for wav in record["wavs"]}
    require_files(
        path, map(str, files.values()), f"is {root} the LibriSpeech folder that holds dev-clean and test-clean?"
    )
    lengths = {wav: num_samples(file) for wav, file in files.items()}
    mixtures: dict[str, Mixture] = {}
    for where, record in records:
        name = record["id"].rpartition("/")[2]
        if name in mixtures:
            raise UserError(f"{where}: id {name!r} came before; ids must be unique")
        sources = [_source(where, record, i, files[wav], lengths[wav]) for i, wav in enumerate(record["wavs"])]
        mixtures[name] = Mixture(name, tuple(sorted(sources, key=lambda source: source.onset)), peak="clip")
    return list(mixtures.values())
