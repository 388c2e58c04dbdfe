"""Synthetic ambient noises, for use where no recorded ones are available."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader

LEVEL_DB = -26  # RMS, dBFS
PEAK = 0.8
CROWD = 24  # voices at the same time

Generator = np.random.Generator


def shaped(rng: Generator, length: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise with a given spectrum.

    Args:
        rng: Source of randomness.
        length: Samples.
        gain: Magnitude response: frequencies in Hz to factors.

    Returns:
        (length,) float.
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * gain(np.maximum(frequency, 20.0)), length)


def slow(rng: Generator, length: int, rate: float) -> np.ndarray:
    """A smooth random curve.

    Args:
        rng: Source of randomness.
        length: Samples.
        rate: Turning points per second, about.

    Returns:
        (length,) float, from 0 to 1.
    """
    knots = rng.random(max(3, round(length / SAMPLE_RATE * rate) + 1))
    return np.interp(np.linspace(0, len(knots) - 1, length), np.arange(len(knots)), knots)


def coloured(rng: Generator, length: int, _: list[Path]) -> np.ndarray:
    """Noise whose spectrum falls with the frequency, between pink and brown.

    Args:
        rng: Source of randomness.
        length: Samples.
        _: Voices, which this kind does not use.

    Returns:
        (length,) float.
    """
    slope = rng.uniform(0.5, 1.0)  # of the amplitude: 0.5 is pink, 1 is brown
    return shaped(rng, length, lambda f: f**-slope) * (0.6 + 0.4 * slow(rng, length, 0.5))


def hum(rng: Generator, length: int, _: list[Path]) -> np.ndarray:
    """Harmonics of the mains frequency and a low rumble.

    Args:
        rng: Source of randomness.
        length: Samples.
        _: Voices, which this kind does not use.

    Returns:
        (length,) float.
    """
    time = np.arange(length) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0]) * rng.uniform(0.995, 1.005)
    tones = [np.sin(2 * np.pi * (k * base * time + rng.random())) / k ** rng.uniform(0.7, 1.4) for k in range(1, 25)]
    rumble = shaped(rng, length, lambda f: f**-0.75)
    return np.sum(tones, axis=0) + 0.7 * rumble / rumble.std()


def bands(rng: Generator, length: int, _: list[Path]) -> np.ndarray:
    """Five frequency bands whose levels rise and fall at different rates.

    Args:
        rng: Source of randomness.
        length: Samples.
        _: Voices, which this kind does not use.

    Returns:
        (length,) float.
    """
    parts = []
    for centre in rng.uniform(150, 4500, size=5):
        width = centre * rng.uniform(0.1, 0.4)
        part = shaped(rng, length, lambda f, c=centre, w=width: np.exp(-0.5 * ((f - c) / w) ** 2))
        parts.append(part / part.std() * slow(rng, length, rng.uniform(0.5, 3.0)) * rng.uniform(0.4, 1.0))
    return np.sum(parts, axis=0)


def rattle(rng: Generator, length: int, _: list[Path]) -> np.ndarray:
    """Bursts of clicks; each click is a decaying resonance.

    Args:
        rng: Source of randomness.
        length: Samples.
        _: Voices, which this kind does not use.

    Returns:
        (length,) float.
    """
    clicks = np.zeros(length)
    for burst in rng.uniform(0, length, size=rng.integers(10, 20)):
        starts = burst + np.cumsum(rng.exponential(0.04, size=rng.integers(2, 14))) * SAMPLE_RATE
        starts = starts[starts < length].astype(int)
        clicks[starts] += rng.uniform(0.2, 1.0, size=len(starts)) * rng.choice([-1, 1], size=len(starts))
    time = np.arange(SAMPLE_RATE // 10) / SAMPLE_RATE
    ring = sum(
        np.sin(2 * np.pi * f * time) * np.exp(-time * rng.uniform(40, 150)) for f in rng.uniform(400, 5000, size=5)
    )
    struck = np.fft.irfft(np.fft.rfft(clicks) * np.fft.rfft(ring, length), length)
    floor = shaped(rng, length, lambda f: f**-0.5)
    return struck / struck.std() + 0.5 * floor / floor.std()


def engine(rng: Generator, length: int, _: list[Path]) -> np.ndarray:
    """Harmonics of a changing engine speed, with broadband noise modulated by it.

    Args:
        rng: Source of randomness.
        length: Samples.
        _: Voices, which this kind does not use.

    Returns:
        (length,) float.
    """
    speed = rng.uniform(25, 45) * (1 + 0.3 * slow(rng, length, 0.4))  # firings a second
    phase = 2 * np.pi * np.cumsum(speed) / SAMPLE_RATE
    tones = [np.sin(k * phase + 2 * np.pi * rng.random()) * rng.uniform(0.3, 1.0) / k**0.8 for k in range(1, 31)]
    roar = shaped(rng, length, lambda f: f**-0.6)
    return np.sum(tones, axis=0) + roar / roar.std() * (1 + 0.5 * np.sin(phase))


def crowd(rng: Generator, length: int, voices: list[Path]) -> np.ndarray:
    """Many voices at once, played backwards so that no words can be understood.

    Args:
        rng: Source of randomness.
        length: Samples.
        voices: Audio files of single utterances.

    Returns:
        (length,) float.
    """
    reader, mixed = AudioReader(), np.zeros(length)
    for _ in range(CROWD):
        filled = -int(rng.integers(SAMPLE_RATE))
        while filled < length:
            voice = reader.read(voices[rng.integers(len(voices))])[::-1]
            voice = voice / max(float(np.abs(voice).max()), 1e-3) * rng.uniform(0.3, 1.0)
            start, stop = max(0, filled), min(length, filled + len(voice))
            if stop > start:
                mixed[start:stop] += voice[start - filled : stop - filled]
            filled += len(voice)
    return mixed


KINDS = {f.__name__: f for f in (coloured, crowd, engine, rattle, hum, bands)}


def levelled(samples: np.ndarray) -> np.ndarray:
    """Scales samples (T,) to LEVEL_DB, or to the peak PEAK if that is softer; float32."""
    samples = samples - samples.mean()
    scale = 10 ** (LEVEL_DB / 20) / samples.std()
    return (samples * min(scale, PEAK / np.abs(samples).max())).astype(np.float32)


def synthesize(seed: Sequence[int], count: int, seconds: float, voices: list[Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Synthesises noises of all kinds in turn: coloured, crowd, engine, rattle, hum, bands.

    Args:
        seed: Seed; each noise is a function of it and of its number.
        count: Number of noises.
        seconds: Length of each in seconds.
        voices: Audio files of single utterances for the crowds.

    Yields:
        Name such as `crowd0`, and samples (seconds * 16000,) float32 of RMS level -26 dBFS.
    """
    kinds = list(KINDS.items())
    for index in range(count):
        name, kind = kinds[index % len(kinds)]
        samples = kind(np.random.default_rng([*seed, index]), round(seconds * SAMPLE_RATE), voices)
        yield f"{name}{index // len(kinds)}", levelled(samples)
