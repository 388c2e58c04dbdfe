#!/usr/bin/env python3
"""Packs synthesised utterances into a LibriSpeech-like tree of Ogg Opus files.

Input: a folder with one 16 kHz FLAC per utterance, and the list of
make_sentences.py. Output below --out/LibriSpeech: SPEAKERS.TXT and
<subset>/<speaker>/1/<utterance>.ogg with <speaker>-1.trans.txt beside them.
Silence before and after the speech is cut to about 0.1 s; the level stays.
"""

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, open_text
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader

FRAME = SAMPLE_RATE // 100  # 10 ms
SILENCE_DB = -40  # frames this far below the loudest one are silence
MARGIN = SAMPLE_RATE // 10  # what stays of it
COMPRESSION = 0.945  # of 0 to 1 in libsndfile: about 23 kbit/s


def trim(samples: np.ndarray) -> np.ndarray:
    """Cuts leading and trailing silence of samples (T,) to about 0.1 s."""
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    return samples[max(0, loud[0] * FRAME - MARGIN) : (loud[-1] + 1) * FRAME + MARGIN]


def write_opus(path: Path, samples: np.ndarray) -> None:
    """Writes a file of Ogg Opus, whole or not at all.

    Args:
        path: of the file.
        samples: (T,) float, 16 kHz.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with soundfile.SoundFile(
        part, "w", SAMPLE_RATE, channels=1, format="OGG", subtype="OPUS", compression_level=COMPRESSION
    ) as audio:
        audio.write(samples)
    os.replace(part, path)


def read_sentences(path: Path) -> dict[tuple[str, str], list[tuple[str, str, float, str]]]:
    """Reads the list: {(subset, speaker): [(utterance, voice, speed, text), ...]}."""
    speakers = defaultdict(list)
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 6:
                raise UserError(f"{path}, line {number}: expected 6 columns separated by tabs, got {len(columns)}")
            subset, speaker, utterance, voice, speed, text = columns
            speakers[subset, speaker].append((utterance, voice, float(speed), text))
    return speakers


def sex(voice: str) -> str:
    """F or M from the second letter of a voice (af_sky, am_adam+am_liam); - for a blend of both."""
    letters = {part[1].upper() for part in voice.split("+")}
    return letters.pop() if len(letters) == 1 else "-"


def pack(wavs: Path, speakers: dict, out: Path) -> float:
    """Packs all speakers.

    Args:
        wavs: folder with one FLAC for each utterance.
        speakers: see `read_sentences`.
        out: folder to write to.

    Returns:
        Seconds of speech.

    Raises:
        UserError: A file is missing.
    """
    wanted = [wavs / f"{row[0]}.flac" for rows in speakers.values() for row in rows]
    if missing := [path.name for path in wanted if not path.is_file()]:
        raise UserError(f"{wavs}: {len(missing)} of {len(wanted)} files are missing, such as {', '.join(missing[:3])}")
    reader, total, table = AudioReader(), 0.0, []
    for (subset, speaker), rows in speakers.items():
        folder, seconds = out / subset / speaker / "1", 0.0
        for utterance, *_ in rows:
            samples = trim(reader.read(wavs / f"{utterance}.flac"))
            write_opus(folder / f"{utterance}.ogg", samples)
            seconds += len(samples) / SAMPLE_RATE
        with atomic_write(folder / f"{speaker}-1.trans.txt") as f:
            f.writelines(f"{utterance} {text.upper()}\n" for utterance, _, _, text in sorted(rows))
        table.append(f"{speaker} | {sex(rows[0][1])} | {subset} | {seconds / 60:.2f} | {rows[0][1]}\n")
        total += seconds
    with atomic_write(out / "SPEAKERS.TXT") as f:
        f.write(";ID | SEX | SUBSET | MINUTES | VOICE\n")
        f.writelines(table)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wavs", type=Path, required=True, help="folder with <utterance>.flac")
    parser.add_argument("--sentences", type=Path, required=True, help="list written by make_sentences.py")
    parser.add_argument("--out", type=Path, default=Path("corpus"), help="corpus folder (default: %(default)s)")
    args = parser.parse_args()
    try:
        seconds = pack(args.wavs, read_sentences(args.sentences), args.out / "LibriSpeech")
    except UserError as error:
        sys.exit(f"pack_corpus.py: error: {error}")
    size = sum(path.stat().st_size for path in (args.out / "LibriSpeech").rglob("*.ogg")) / 1e6
    print(f"{seconds / 60:.1f} minutes of speech, {size:.1f} MB, {size / seconds * 3600:.1f} MB an hour")


if __name__ == "__main__":
    main()
