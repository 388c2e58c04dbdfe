"""Kaldi data directories of single-talker utterances."""

import functools
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path, read_kaldi
from espnet2_sop.mixture.corpora.spans import Span, listed, require_files, seconds
from espnet2_sop.mixture.kaldi_audio import Command
from espnet2_sop.mixture.parallel import run


def read_wav_scp(path: Path) -> dict[str, str]:
    """Reads a wav.scp.

    Returns:
        {recording: audio file, `FILE.ark:OFFSET`, or `Command`}; nothing is opened or run.

    Raises:
        UserError: The file is missing or has a bad line.
    """
    recordings = read_kaldi(path)
    for number, (name, value) in enumerate(recordings.items(), 1):
        if not value.strip(" |") or value.startswith("|"):
            raise UserError(f"{path}, line {number}: {name} needs an audio file or a command `... |`, got {value!r}")
        if value.endswith("|"):
            recordings[name] = Command(value)
    return recordings


def _as_files(scp: Path, recordings: dict[str, str], folder: Path | None) -> dict[str, str]:
    """The recordings, each command replaced by the file of its output."""
    commands = {}
    for number, (name, value) in enumerate(recordings.items(), 1):
        if isinstance(value, Command):
            if folder is None or "/" in name or name.startswith("."):
                reason = "commands are not run here" if folder is None else "its name cannot be that of a file"
                raise UserError(f"{scp}, line {number}: {name} is a command (a pipe), and {reason}; name a file")
            commands[name] = value
    files = run(functools.partial(_write_output, folder=folder), list(commands.items()), 1, "commands of wav.scp")
    return recordings | dict(zip(commands, files, strict=True))


def _write_output(item: tuple[str, Command], folder: Path) -> str:
    path = folder / f"{item[0]}.wav"
    with atomic_path(path) as part:
        part.write_bytes(item[1].output())
    return str(path)


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


def read_kaldi_dir(folder: str | Path, audio: Path | None = None) -> list[Span]:
    """Reads `wav.scp` (files, entries of archives, commands), `text`, `utt2spk` and, if it is there, `segments`.

    Args:
        folder: The data directory.
        audio: Folder for the output of commands, which are run once; None refuses them.

    Returns:
        The utterances in the order of `text`.

    Raises:
        UserError: A file is missing or has a bad line, a command fails or is refused, the files do not have the same
            utterances, or audio files are missing (all are named).
    """
    folder = Path(folder)
    scp = folder / "wav.scp"
    parts = _parts(folder, _as_files(scp, read_wav_scp(scp), audio))
    texts, speakers = read_kaldi(folder / "text"), read_kaldi(folder / "utt2spk")
    source = "segments" if (folder / "segments").is_file() else "wav.scp"
    for name, table in ((source, parts), ("utt2spk", speakers)):
        for have, lack, there, here in ((texts, table, "text", name), (table, texts, name, "text")):
            if missing := [utterance for utterance in have if utterance not in lack]:
                raise UserError(
                    f"{folder / here}: {len(missing)} utterance(s) of {there} are not here: {listed(missing)}"
                )
    require_files(scp, (part[0] for part in parts.values()), "paths are relative to the working directory")
    if silent := [name for name, speaker in speakers.items() if not speaker]:
        raise UserError(f"{folder / 'utt2spk'}: {len(silent)} utterance(s) without a speaker: {listed(silent)}")
    return [Span(name, parts[name][0], speakers[name], text, *parts[name][1:]) for name, text in texts.items()]
