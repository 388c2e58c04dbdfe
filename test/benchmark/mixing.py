#!/usr/bin/env python3
"""Times the preparation of LibriMix at full size, and the rendering of its mixtures while they are read.

Makes its data itself: a LibriSpeech tree (FLAC) and a WHAM tree (stereo WAV) of a few files under many names (hard
links), and metadata with as many rows as Libri2Mix and Libri3Mix have. The default size needs 600 MB of disk.

    python test/benchmark/mixing.py             # all of LibriMix
    python test/benchmark/mixing.py --scale 0.01
"""

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROWS = {"train": (64700, 43200), "dev": (3000, 3000), "test": (3000, 3000)}  # of two and of three talkers
UTTERANCES = {"train": 132500, "dev": 2700, "test": 2600}
NOISES = 20000
SPEAKERS, CHAPTER = 1172, 28  # speakers of train; utterances in a chapter


def sound(rng: np.random.Generator, seconds: float, channels: int = 1) -> np.ndarray:
    """Noise with the slope and the pauses of speech, so that FLAC has the usual work."""
    samples = np.cumsum(rng.standard_normal((int(seconds * 16000), channels)), axis=0)
    samples -= np.convolve(samples[:, 0], np.ones(64) / 64, "same")[:, None]
    envelope = np.repeat(rng.random(len(samples) // 1600 + 1) ** 2, 1600)[: len(samples), None]
    return 0.3 * samples * envelope / np.abs(samples).max()


def link(patterns: list[Path], path: Path, number: int) -> None:
    os.link(patterns[number % len(patterns)], path)


def make_speech(root: Path, subset: str, count: int, patterns: list[Path]) -> list[str]:
    """Links `count` utterances with their texts; returns their paths below `root`."""
    names = []
    for start in range(0, count, CHAPTER):
        number = start // CHAPTER
        speaker, chapter = 100 + number % SPEAKERS, 1000 + number
        folder = root / subset / str(speaker) / str(chapter)
        folder.mkdir(parents=True)
        ids = [f"{speaker}-{chapter}-{i:04d}" for i in range(min(CHAPTER, count - start))]
        for i, name in enumerate(ids):
            link(patterns, folder / f"{name}.flac", start + i)
        text = "".join(f"{name} THIS IS ABOUT AS LONG AS THE TEXT OF AN UTTERANCE IS\n" for name in ids)
        (folder / f"{speaker}-{chapter}.trans.txt").write_text(text)
        names += [f"{folder.relative_to(root)}/{name}.flac" for name in ids]
    return names


def write_metadata(path: Path, talkers: int, count: int, names: list[str], noises: list[str]) -> None:
    rng = np.random.default_rng(talkers)
    with open(path, "w", newline="") as f:
        writer = csv.writer(f)
        columns = [f"source_{i}_{kind}" for i in range(1, talkers + 1) for kind in ("path", "gain")]
        writer.writerow(["mixture_ID", *columns, "noise_path", "noise_gain"])
        for number in range(count):
            chosen = [names[i] for i in rng.integers(len(names), size=talkers)]
            row = ["_".join([*(Path(name).stem for name in chosen), str(number)])]
            for name in chosen:
                row += [name, rng.uniform(0.3, 1.5)]
            writer.writerow([*row, noises[number % len(noises)], rng.uniform(0.3, 2)])


def make(root: Path, scale: float) -> None:
    """LibriSpeech/, wham_noise/ and metadata/ below root."""
    rng = np.random.default_rng(0)
    patterns = {"speech": [], "noise": []}
    for number in range(8):
        for kind, extension, channels in (("speech", "flac", 1), ("noise", "wav", 2)):
            path = root / f"{kind}{number}.{extension}"
            soundfile.write(path, sound(rng, rng.uniform(8, 16), channels), 16000, subtype="PCM_16")
            patterns[kind].append(path)
    (root / "wham_noise/tr").mkdir(parents=True)
    (root / "metadata").mkdir()
    noises = [f"tr/{number}.wav" for number in range(max(8, int(NOISES * scale)))]
    for number, name in enumerate(noises):
        link(patterns["noise"], root / "wham_noise" / name, number)
    for subset, counts in ROWS.items():
        speech = make_speech(root / "LibriSpeech", subset, max(50, int(UTTERANCES[subset] * scale)), patterns["speech"])
        for talkers, count in zip((2, 3), counts, strict=True):
            path = root / "metadata" / f"libri{talkers}mix_{subset}.csv"
            write_metadata(path, talkers, max(10, int(count * scale)), speech, noises)


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command(title: str, *arguments: object) -> None:
    """Runs espnet2-sop and prints its seconds and its memory."""
    before, start = cpu_of_children(), time.time()
    program = "import sys, espnet2_sop.bin.cli as c; status = c.run(sys.argv[1], sys.argv[2:])\n"
    program += "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(status)"
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{title}: failed")
    *said, memory = done.stdout.splitlines()
    cpu, clock = cpu_of_children() - before, time.time() - start
    print(
        f"{title}: {cpu:.1f} s of CPU ({clock:.1f} s by the clock), {int(memory) / 1024:.0f} MiB: {said[-1]}",
        flush=True,
    )


def rendering(title: str, manifest: Path, count: int) -> None:
    """Prints how many times faster than real time mixtures are read, each file for the first time."""
    from espnet2_sop.mixture.audio import AudioReader
    from espnet2_sop.mixture.manifest import read_manifest
    from espnet2_sop.mixture.render import render

    mixtures = read_manifest(manifest)[:count]
    for mixture in mixtures[:5]:
        render(mixture, AudioReader())
    start, cpu = time.perf_counter(), time.process_time()
    seconds = sum(len(render(mixture, AudioReader())) for mixture in mixtures) / 16000
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{title}: {seconds / cpu:.0f} times real time per core ({seconds / wall:.0f} by the clock)", flush=True)


def against_stored(drawn: Path, stored: Path, count: int, rounds: int = 5) -> None:
    """Prints what mixing while reading costs more than reading the same mixtures from stored WAV, in turn."""
    from espnet2_sop.mixture.audio import AudioReader
    from espnet2_sop.mixture.manifest import read_manifest
    from espnet2_sop.mixture.render import render

    sets = [read_manifest(path)[:count] for path in (drawn, stored)]
    found: list[list[float]] = [[], []]
    for number in range(rounds + 1):  # the first one warms up
        for mixtures, seconds in zip(sets, found, strict=True):
            start = time.process_time()
            samples = sum(len(render(mixture, AudioReader())) for mixture in mixtures)
            if number:
                seconds.append((time.process_time() - start) / samples * 16000 * 3600)
    mixing, reading = (statistics.median(seconds) for seconds in found)
    ratio = statistics.median(a / b for a, b in zip(*found, strict=True))
    print(
        f"an hour of 2 talkers: {mixing:.1f} s of CPU mixed while reading, {reading:.1f} s from stored WAV: "
        f"{ratio:.1f} times (median of {rounds} rounds in turn)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of LibriMix (default: %(default)s)")
    parser.add_argument("--folder", help="where to make the data (default: the usual temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        root = Path(folder)
        make(root, args.scale)
        tables = sorted((root / "metadata").glob("*.csv"))
        command("offsets", "prepare", "offsets", "--csv", *tables, "--out", root / "offsets")
        roots = ["--speech_root", root / "LibriSpeech", "--noise_root", root / "wham_noise", "--condition", "noisy"]
        data = root / "data"
        for subset in ROWS:
            csvs = [root / "offsets" / f"libri{talkers}mix_{subset}.csv" for talkers in (2, 3)]
            command(f"prepare {subset}", "prepare", "librimix", "--csv", *csvs, *roots, "--out", data / subset)
        (data / "train/.done.json").unlink()
        csvs = [root / "offsets" / f"libri{talkers}mix_train.csv" for talkers in (2, 3)]
        command("prepare train again", "prepare", "librimix", "--csv", *csvs, *roots, "--out", data / "train")
        command("format train", "format", data / "train", root / "dump/train")
        for talkers in (2, 3):
            out = data / f"{talkers}"
            csvs = [root / "offsets" / f"libri{talkers}mix_test.csv"]
            command(f"prepare test of {talkers} talkers", "prepare", "librimix", "--csv", *csvs, *roots, "--out", out)
            rendering(f"{talkers} talkers from FLAC and noise", out / "mixtures.jsonl", 150)
        csvs = [root / "offsets/libri2mix_test.csv"]
        stored = ["--store_mixtures", root / "wav", "--nj", 2, "--out", data / "stored"]
        command("store the mixtures of two talkers", "prepare", "librimix", "--csv", *csvs, *roots, *stored)
        rendering("2 talkers from stored WAV", data / "stored/mixtures.jsonl", 150)
        against_stored(data / "2/mixtures.jsonl", data / "stored/mixtures.jsonl", 150)


if __name__ == "__main__":
    main()
