#!/usr/bin/env python3
"""uqm.py GAME OUT: voices of The Ur-Quan Masters, a freeware game, as training data.

GAME has packages/uqm-0.8.0-content.uqm and addons/uqm-0.8.0-voice.uqm (Debian's packages uqm-content and uqm-voice:
/usr/share/games/uqm/content; CC BY-NC-SA 2.5). OUT becomes a folder in the layout of LibriSpeech. The words are those
that the game shows; a clip is cut in the pauses between its lines of text, near the times that the game gives for them.
A speaker is a race's folder; but `commander` has the voice of `starbase` and `safeones` that of `spathi`, and the two
talkers of `zoqfotpik` take turns, phrase by phrase.
"""

import argparse
import io
import itertools
import re
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

CONTENT, VOICE = "packages/uqm-0.8.0-content.uqm", "addons/uqm-0.8.0-voice.uqm"
TABLE = "3dovoice/3dovoice.rmp"  # of the texts, folders and times of the conversations
RATE = 16000
LEVEL = 0.05  # RMS
SHORTEST, LONGEST = 1.5, 15.0  # seconds
SLOWEST, FASTEST = 1.0, 5.5  # words a second
REACH = 0.4  # seconds between a time that the game gives and the pause
PAUSE, FRAME = 0.15, 0.01  # seconds: what has to be quiet, and the steps
QUIET = 12.0  # dB below the clip's level
FAR = 15.0  # dB for each second away from the given time, by which a nearer pause is preferred
SAME_VOICE = {"commander": "starbase", "safeones": "spathi"}
UNINTELLIGIBLE = ("umgah",)  # by the effects on the voice: Whisper mishears two words in three


class Clip(NamedTuple):
    """A file and its lines; the times (s) are where the lines but the first begin."""

    phrase: str
    file: str
    lines: list[str]
    times: list[float]


def clips(text: str, stamps: str) -> Iterator[Clip]:
    """Clips whose lines have times. Left out: a phrase that continues in one without a file, and files of two phrases.

    Args:
        text: phrases of a conversation with their files.
        stamps: lengths (ms) of the lines of each phrase.

    Yields:
        Clips in the order of the text.
    """
    times = dict(re.findall(r"^#\((\w+)\)[ \t]*([\d,]*)", stamps, re.M))
    found = re.findall(r"^#\((\w+)\)[ \t]*(\S*)[^\n]*\n([^#]*)", text, re.M)
    counts = Counter(file for _, file, _ in found)
    for (phrase, file, said), (after, after_file, _) in itertools.pairwise([*found, ("", "", "")]):
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        lengths = [int(length) for length in times.get(phrase, "").split(",") if length]  # milliseconds
        goes_on = after and after.isupper() and not after_file  # the player's phrases are in lower case
        if file and counts[file] == 1 and not goes_on and len(lines) == len(lengths) + 1:
            yield Clip(phrase, file, lines, [end / 1000 for end in itertools.accumulate(lengths)])


def words(text: str) -> str:
    """Upper-case words and apostrophes; empty if there is a digit, a sign that is spoken or a stretched word."""
    text = text.replace("*", "")
    if re.search(r"[^\w\s.,;:!?'`-]|[\d_]|(\w)\1\1", text, re.I) or not text.isascii():
        return ""
    found = re.findall(r"'?[A-Z]+(?:'[A-Z]+)*'?", text.upper())
    return " ".join(word.rstrip("'") if "`" in text else word for word in found)  # `quoted'


def pauses(wave: np.ndarray, times: Sequence[float]) -> list[int | None]:
    """Pauses near given times.

    Args:
        wave: samples (T,) float, 16 kHz.
        times: seconds at which the game changes the line.

    Returns:
        Sample of the pause for each time; None where it is not quiet.
    """
    step = int(FRAME * RATE)
    power = np.square(wave[: len(wave) // step * step]).reshape(-1, step).mean(1)
    width = round(PAUSE / FRAME)
    decibels = 10 * np.log10(np.convolve(power, np.ones(width) / width, "same") / max(power.mean(), 1e-9) + 1e-9)
    away = np.abs(np.arange(len(decibels))[None] * FRAME - np.reshape(times, (-1, 1)))
    near = away <= np.minimum(REACH, away.min(0, initial=np.inf))  # and no other time is nearer
    cost = np.where(near, decibels + FAR * away, np.inf)
    best = cost.argmin(1)
    return [int(i) * step if cost[n, i] < np.inf and decibels[i] < -QUIET else None for n, i in enumerate(best)]


def pieces(wave: np.ndarray, clip: Clip) -> Iterator[tuple[np.ndarray, str]]:
    """What is between the pauses. Lines without a pause between them, and lines that are too short, are joined.

    Args:
        wave: samples (T,) float, 16 kHz, of a clip.
        clip: its lines and times.

    Yields:
        Samples (T,) and words of each piece.
    """
    start, said = 0, []
    for line, end in zip(clip.lines, [*pauses(wave, clip.times), len(wave)], strict=True):
        said.append(line)
        if end is None or (end - start < SHORTEST * RATE and end < len(wave)):
            continue
        text = words(" ".join(said))
        seconds = (end - start) / RATE
        if SHORTEST <= seconds <= LONGEST and SLOWEST <= len(text.split()) / seconds <= FASTEST:
            yield wave[start:end], text
        start, said = end, []


def speaker(race: str, phrase: str) -> str:
    """Name of the talker of a phrase.

    Args:
        race: folder of the conversation.
        phrase: name of the phrase; its last digit tells the two talkers of `zoqfotpik` apart.

    Returns:
        Name, such as `uqmorz`.
    """
    if race == "zoqfotpik":
        return "uqmpik" if phrase[-1] in "13579" else "uqmzoq"
    return f"uqm{SAME_VOICE.get(race, race)}"


def conversations(content: zipfile.ZipFile, voice: zipfile.ZipFile) -> Iterator[tuple[str, Clip]]:
    """All clips of the races that can be understood.

    Args:
        content: archive with texts.
        voice: archive with recordings, times and further texts.

    Yields:
        Folder of the recordings in `voice`, and the clip.
    """
    for place in re.findall(r"= *CONVERSATION:(\S+)", voice.read(TABLE).decode()):
        text, folder, stamps = (path.removeprefix("addons/") for path in place.split(":"))
        if folder.split("/")[-2] not in UNINTELLIGIBLE:
            said = (voice if text.startswith("3dovoice/") else content).read(text).decode()
            yield from ((folder, clip) for clip in clips(said, voice.read(stamps).decode()))


def load(file: bytes) -> np.ndarray:
    """Samples (T,) float32, 16 kHz."""
    wave, rate = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
    return soxr.resample(wave.mean(1), rate, RATE)


def write(folder: Path, content: zipfile.ZipFile, voice: zipfile.ZipFile) -> str:
    """Writes all utterances; of those with the same words by one speaker, the first.

    Args:
        folder: to make.
        content: archive with texts.
        voice: archive with recordings, times and further texts.

    Returns:
        How many utterances and speakers, as a line.
    """
    known, done = set(voice.namelist()), set()
    folder.mkdir()
    for place, clip in tqdm(list(conversations(content, voice)), desc="clips"):
        if place + clip.file not in known:
            continue
        race, who = place.split("/")[-2], speaker(place.split("/")[-2], clip.phrase)
        chapter = folder / who / race
        chapter.mkdir(parents=True, exist_ok=True)
        with (chapter / f"{who}-{race}.trans.txt").open("a", encoding="utf-8") as texts:
            for part, (wave, text) in enumerate(pieces(load(voice.read(place + clip.file)), clip)):
                if (who, text) in done:
                    continue
                done.add((who, text))
                name = f"{who}-{race}-{Path(clip.file).stem.split('-')[-1]}{part:02d}"
                level = LEVEL / max(np.sqrt(np.mean(wave**2)), 1e-6)
                soundfile.write(chapter / f"{name}.flac", np.clip(wave * level, -1, 1), RATE)
                texts.write(f"{name} {text}\n")
    return f"{len(done)} utterances of {len({who for who, _ in done})} speakers"


def main() -> None:
    """Writes the folder, or nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    for name in (CONTENT, VOICE):
        if not (args.game / name).is_file():
            sys.exit(f"uqm.py: error: {args.game}: no {name} here; install the packages uqm-content and uqm-voice")
    if args.out.exists():
        sys.exit(f"uqm.py: error: {args.out}: is there already; remove it or give a new folder")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".uqm.", dir=args.out.parent) as part:
        try:
            with zipfile.ZipFile(args.game / CONTENT) as content, zipfile.ZipFile(args.game / VOICE) as voice:
                written = write(Path(part, "uqm"), content, voice)
        except (zipfile.BadZipFile, KeyError) as error:
            sys.exit(f"uqm.py: error: {args.game}: not the files of version 0.8.0: {error}")
        Path(part, "uqm").replace(args.out)
    print(f"{args.out}: {written}")


if __name__ == "__main__":
    main()
