"""Kaldi data directories of single-talker utterances."""

from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.mixture.corpora.spans import Span, listed, require_files, seconds


def read_wav_scp(path: Path) -> dict[str, str]:
    """{recording: audio file} of a wav.scp; commands and archives are refused."""
    recordings = read_kaldi(path)
    for number, (name, value) in enumerate(recordings.items(), 1):
        where = f"{path}, line {number}"
        if value.endswith("|") or value.startswith("|"):
            raise UserError(
                f"{where}: {name} is a command (a pipe); write its output to a file, for example with"
                " Kaldi's wav-copy or with sox, and name the file"
            )
        if ".ark:" in value or not value:
            raise UserError(f"{where}: {name} needs the path of an audio file, got {value!r}")
    return recordings


def _parts(folder: Path, recordings: dict[str, str]) -> dict[str, tuple[str, float | None, float | None, str]]:
    """{utterance: (audio file, start, end, "file, line n")}; whole recordings without a file `segments`."""
    path = folder / "segments"
    if not path.is_file():
        scp = folder / "wav.scp"
        return {
            name: (audio, None, None, f"{scp}, line {number}")
            for number, (name, audio) in enumerate(recordings.items(), 1)
        }
    parts = {}
    for number, (name, value) in enumerate(read_kaldi(path).items(), 1):
        where, fields = f"{path}, line {number}", value.split()
        if len(fields) != 3:
            raise UserError(f"{where}: expected 'utterance recording start end', got {name!r} and {value!r}")
        if fields[0] not in recordings:
            raise UserError(f"{where}: recording {fields[0]!r} is not in wav.scp")
        parts[name] = (recordings[fields[0]], *seconds(fields[1], fields[2], where), where)
    return parts


def read_kaldi_dir(folder: str | Path) -> list[Span]:
    """Reads `wav.scp` (paths of files), `text`, `utt2spk` and, if it is there, `segments`.

    Returns:
        The utterances in the order of `text`.

    Raises:
        UserError: A file is missing or has a bad line, `wav.scp` has commands or archives, the files do not have the
            same utterances, or audio files are missing (all are named).
    """
    folder = Path(folder)
    parts = _parts(folder, read_wav_scp(folder / "wav.scp"))
    texts, speakers = read_kaldi(folder / "text"), read_kaldi(folder / "utt2spk")
    source = "segments" if (folder / "segments").is_file() else "wav.scp"
    for name, table in ((source, parts), ("utt2spk", speakers)):
        for have, lack, there, here in ((texts, table, "text", name), (table, texts, name, "text")):
            if missing := [utterance for utterance in have if utterance not in lack]:
                raise UserError(
                    f"{folder / here}: {len(missing)} utterance(s) of {there} are not here: {listed(missing)}"
                )
    require_files(
        folder / "wav.scp", (part[0] for part in parts.values()), "paths are relative to the working directory"
    )
    if silent := [name for name, speaker in speakers.items() if not speaker]:
        raise UserError(f"{folder / 'utt2spk'}: {len(silent)} utterance(s) without a speaker: {listed(silent)}")
    return [Span(name, parts[name][0], speakers[name], text, *parts[name][1:]) for name, text in texts.items()]
