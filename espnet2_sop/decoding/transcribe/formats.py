"""Files of transcripts: Kaldi-style text, JSON, SegLST, STM and subtitles.

The talkers of neighbouring segments cannot be identified, so the talker of SegLST, STM, subtitles and text is the
talker slot: `1` is the first to start in its segment. In a recording of one segment, slots are talkers.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_sop.decoding.talker import TALKER, Talker
from espnet2_sop.decoding.transcribe.subtitles import srt, vtt
from espnet2_sop.io.files import atomic_write
from espnet2_sop.io.json_shapes import misfit
from espnet2_sop.text.serialized import serialize

ROW = {"id": str, "path": str, "seconds": float, "talkers": [TALKER]}  # `misfit` of `to_row`


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording.

    Attributes:
        id: Name of the recording, without blanks.
        path: Its audio file.
        seconds: Its length.
        talkers: As `Speech2Text` gives them.
    """

    id: str
    path: str
    seconds: float
    talkers: Sequence[Talker]


def text(transcripts: Iterable[Transcript]) -> str:
    """Kaldi-style text: `id serialized text` a line; of a recording of several segments, slot after slot."""
    lines = []
    for transcript in transcripts:
        slots: dict[int, list[str]] = {}
        for talker in transcript.talkers:
            slots.setdefault(talker.slot, []).append(talker.text)
        lines.append(f"{transcript.id} {serialize(' '.join(slots[slot]) for slot in sorted(slots))}".rstrip() + "\n")
    return "".join(lines)


def as_json(transcripts: Iterable[Transcript]) -> str:
    """A JSON list of recordings with everything that is known of their talkers."""
    rows = [to_row(transcript) for transcript in transcripts]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def seglst(transcripts: Iterable[Transcript]) -> str:
    """SegLST of meeteval: one segment for each talker of each segment of a recording."""
    rows = [
        {
            "session_id": transcript.id,
            "speaker": str(talker.slot),
            "words": talker.text,
            "start_time": round(talker.span[0], 3),
            "end_time": round(talker.span[1], 3),
        }
        for transcript in transcripts
        for talker in transcript.talkers
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def stm(transcripts: Iterable[Transcript]) -> str:
    """STM of NIST: `recording channel speaker start end words` a line, in order of start."""
    rows = [
        (transcript.id, *talker.span, talker.slot, talker.text.lstrip("< "))  # < would begin a label
        for transcript in transcripts
        for talker in transcript.talkers
    ]
    rows = [row for row in sorted(rows, key=lambda row: row[:2]) if row[-1]]
    return "".join(f"{name} 1 {slot} {start:.3f} {end:.3f} {words}\n" for name, start, end, slot, words in rows)


OF_ALL: dict[str, tuple[str, Callable[[Sequence[Transcript]], str]]] = {
    "text": ("text", text),
    "json": ("transcripts.json", as_json),
    "seglst": ("hyp.seglst.json", seglst),
    "stm": ("hyp.stm", stm),
}
"""Formats with one file for all recordings: its name, and what is in it."""

OF_EACH: dict[str, Callable[[Sequence[Talker]], str]] = {"vtt": vtt, "srt": srt}
"""Formats with one file for each recording: what is in it."""


def render(name: str, transcript: Transcript) -> str:
    """Renders one recording.

    Args:
        name: Format: a key of `OF_ALL` or `OF_EACH`.
        transcript: The recording.

    Returns:
        Contents of the file.
    """
    return OF_EACH[name](transcript.talkers) if name in OF_EACH else OF_ALL[name][1]([transcript])


def write(out: Path, names: Iterable[str], transcripts: Sequence[Transcript]) -> None:
    """Writes the files of several formats.

    Args:
        out: Folder that is there.
        names: Formats: keys of `OF_ALL` and `OF_EACH`.
        transcripts: All recordings of the folder.
    """
    for name in names:
        files = (
            {out / f"{transcript.id}.{name}": render(name, transcript) for transcript in transcripts}
            if name in OF_EACH
            else {out / OF_ALL[name][0]: OF_ALL[name][1](transcripts)}
        )
        for path, content in files.items():
            with atomic_write(path) as f:
                f.write(content)


def present(out: Path, ids: Sequence[str]) -> list[str]:
    """Finds the formats that a folder has.

    Args:
        out: The folder.
        ids: Recordings whose files are looked for.

    Returns:
        Names of formats; none if there are no ids.
    """
    whole = [name for name, (file, _) in OF_ALL.items() if ids and (out / file).is_file()]
    return whole + [kind for kind in OF_EACH if any((out / f"{i}.{kind}").is_file() for i in ids)]


def remove(out: Path, ids: Iterable[str]) -> None:
    """Removes the files of all recordings, and those of single ones.

    Args:
        out: The folder.
        ids: Recordings whose own files are removed.
    """
    for name, _ in OF_ALL.values():
        (out / name).unlink(missing_ok=True)
    remove_each(out, ids)


def remove_each(out: Path, ids: Iterable[str]) -> None:
    """Removes the files of single recordings.

    Args:
        out: The folder.
        ids: The recordings.
    """
    for name in ids:
        for kind in OF_EACH:
            (out / f"{name}.{kind}").unlink(missing_ok=True)


def to_row(transcript: Transcript) -> dict[str, Any]:
    """A transcript for JSON."""
    talkers = [talker.to_dict() for talker in transcript.talkers]
    return {"id": transcript.id, "path": transcript.path, "seconds": transcript.seconds, "talkers": talkers}


def of_row(row: dict[str, Any]) -> Transcript:
    """The inverse of `to_row`."""
    return Transcript(row["id"], row["path"], row["seconds"], [Talker.of_dict(values) for values in row["talkers"]])


def is_row(row: Any) -> bool:
    """Whether an interrupted run may have written a row: that of `to_row`, and the fingerprint of the audio file."""
    return misfit(row, {**ROW, "file": str}) is None
