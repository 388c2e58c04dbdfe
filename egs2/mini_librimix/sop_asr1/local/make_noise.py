#!/usr/bin/env python3
"""Synthesises ambient noises in the layout of WHAM: wham_noise/{tr,cv,tt}/*.ogg.

Kinds: coloured (between pink and brown), hum, bands that swell, rattle, engine,
and a crowd of many time-reversed utterances of training speakers. All of it is
a function of the seed and, for the crowd, of the packed corpus.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pack_corpus import write_opus

from espnet2_sop.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.pool import audio_files

SECONDS = 12
LENGTH = SECONDS * SAMPLE_RATE
LEVEL_DB = -26  # RMS, dBFS
PEAK = 0.8
CROWD = 24  # voices at the same time

Generator = np.random.Generator


def shaped(rng: Generator, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise (LENGTH,) with the magnitude response `gain(frequencies in Hz)`."""
    spectrum = np.fft.rfft(rng.standard_normal(LENGTH))
    frequency = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * gain(np.maximum(frequency, 20.0)), LENGTH)


def slow(rng: Generator, rate: float) -> np.ndarray:
    """A smooth random curve (LENGTH,) in [0, 1] with about `rate` turns a second."""
    knots = rng.random(max(3, round(SECONDS * rate) + 1))
    return np.interp(np.linspace(0, len(knots) - 1, LENGTH), np.arange(len(knots)), knots)


def coloured(rng: Generator, _: list[Path]) -> np.ndarray:
    slope = rng.uniform(0.5, 1.0)  # of the amplitude: 0.5 is pink, 1 is brown
    return shaped(rng, lambda f: f**-slope) * (0.6 + 0.4 * slow(rng, 0.5))


def hum(rng: Generator, _: list[Path]) -> np.ndarray:
    time = np.arange(LENGTH) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0]) * rng.uniform(0.995, 1.005)
    tones = [np.sin(2 * np.pi * (k * base * time + rng.random())) / k ** rng.uniform(0.7, 1.4) for k in range(1, 25)]
    rumble = shaped(rng, lambda f: f**-0.75)
    return np.sum(tones, axis=0) + 0.7 * rumble / rumble.std()


def bands(rng: Generator, _: list[Path]) -> np.ndarray:
    parts = []
    for centre in rng.uniform(150, 4500, size=5):
        width = centre * rng.uniform(0.1, 0.4)
        part = shaped(rng, lambda f, c=centre, w=width: np.exp(-0.5 * ((f - c) / w) ** 2))
        parts.append(part / part.std() * slow(rng, rng.uniform(0.5, 3.0)) * rng.uniform(0.4, 1.0))
    return np.sum(parts, axis=0)


def rattle(rng: Generator, _: list[Path]) -> np.ndarray:
    clicks = np.zeros(LENGTH)
    for burst in rng.uniform(0, LENGTH, size=rng.integers(10, 20)):
        starts = burst + np.cumsum(rng.exponential(0.04, size=rng.integers(2, 14))) * SAMPLE_RATE
        starts = starts[starts < LENGTH].astype(int)
        clicks[starts] += rng.uniform(0.2, 1.0, size=len(starts)) * rng.choice([-1, 1], size=len(starts))
    time = np.arange(SAMPLE_RATE // 10) / SAMPLE_RATE
    ring = sum(
        np.sin(2 * np.pi * f * time) * np.exp(-time * rng.uniform(40, 150)) for f in rng.uniform(400, 5000, size=5)
    )
    struck = np.fft.irfft(np.fft.rfft(clicks) * np.fft.rfft(ring, LENGTH), LENGTH)
    floor = shaped(rng, lambda f: f**-0.5)
    return struck / struck.std() + 0.5 * floor / floor.std()


def engine(rng: Generator, _: list[Path]) -> np.ndarray:
    speed = rng.uniform(25, 45) * (1 + 0.3 * slow(rng, 0.4))  # firings a second
    phase = 2 * np.pi * np.cumsum(speed) / SAMPLE_RATE
    tones = [np.sin(k * phase + 2 * np.pi * rng.random()) * rng.uniform(0.3, 1.0) / k**0.8 for k in range(1, 31)]
    roar = shaped(rng, lambda f: f**-0.6)
    return np.sum(tones, axis=0) + roar / roar.std() * (1 + 0.5 * np.sin(phase))


def crowd(rng: Generator, voices: list[Path]) -> np.ndarray:
    reader, mixed = AudioReader(), np.zeros(LENGTH)
    for _ in range(CROWD):
        filled = -int(rng.integers(SAMPLE_RATE))
        while filled < LENGTH:
            voice = reader.read(voices[rng.integers(len(voices))])[::-1]
            voice = voice / max(float(np.abs(voice).max()), 1e-3) * rng.uniform(0.3, 1.0)
            start, stop = max(0, filled), min(LENGTH, filled + len(voice))
            if stop > start:
                mixed[start:stop] += voice[start - filled : stop - filled]
            filled += len(voice)
    return mixed


KINDS = {f.__name__: f for f in (coloured, crowd, engine, rattle, hum, bands)}
SUBSETS = {"tr": 12, "cv": 4, "tt": 6}


def levelled(samples: np.ndarray) -> np.ndarray:
    """Samples (T,) at LEVEL_DB, softer where the peak would pass PEAK; float32."""
    samples = samples - samples.mean()
    scale = 10 ** (LEVEL_DB / 20) / samples.std()
    return (samples * min(scale, PEAK / np.abs(samples).max())).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="corpus folder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()
    try:
        voices = audio_files(args.corpus / "LibriSpeech" / "train-mini")
    except UserError as error:
        sys.exit(f"make_noise.py: error: {error}")
    for number, (subset, count) in enumerate(SUBSETS.items()):
        for index in range(count):
            kind = list(KINDS)[index % len(KINDS)]
            samples = KINDS[kind](np.random.default_rng([args.seed, number, index]), voices)
            write_opus(args.corpus / "wham_noise" / subset / f"{kind}{index // len(KINDS)}.ogg", levelled(samples))
    size = sum(path.stat().st_size for path in (args.corpus / "wham_noise").rglob("*.ogg"))
    print(f"{sum(SUBSETS.values())} noises of {SECONDS} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
