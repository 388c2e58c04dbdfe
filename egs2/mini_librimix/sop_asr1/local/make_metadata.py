#!/usr/bin/env python3
"""Writes LibriMix-style metadata of the fixed dev and test mixtures.

Output: metadata/mini{1,2,3}mix_{dev,test}.csv with LibriMix's columns and start
offsets in seconds after talker 1 (`offset`, or `offset1` and `offset2`). Source
paths are relative to LibriSpeech, noise paths to wham_noise. All of it is a
function of the seed and of the packed corpus.
"""

import argparse
import csv
import sys
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.mixture.manifest import Mixture
from espnet2_sop.mixture.simulation.pool import build_noise_pool, build_pool
from espnet2_sop.mixture.simulation.rule import SimulationConfig, draw

SETS = {  # name: (subset of speech, subset of noise, mixtures for each number of talkers)
    "dev": ("dev-mini", "cv", 24),
    "test": ("test-mini", "tt", 150),
}
ONSETS = ((0.75, 1.25), (1.6, 2.1))
SPEECH_DB = (-33.0, -25.0)
NOISE_DB = (-38.0, -30.0)


def rule(seed: int, num_talkers: int, count: int) -> SimulationConfig:
    """The rule of mixtures with one number of talkers, all with noise (the clean condition leaves it out).

    Args:
        seed: decides the draws.
        num_talkers: of each mixture.
        count: mixtures.

    Returns:
        The rule.
    """
    return SimulationConfig(
        seed=seed,
        mixtures_per_epoch=count,
        talkers={num_talkers: 1.0},
        onsets=ONSETS,
        level_db=SPEECH_DB,
        noise_prob=1.0,
        noise_level_db=NOISE_DB,
        speed=(1.0, 1.0),
        max_duration=30.0,
    )


def columns(mixture: Mixture, speech_root: Path, noise_root: Path) -> dict[str, str]:
    """One row of the CSV.

    Args:
        mixture: with noise.
        speech_root: folder that source paths are relative to.
        noise_root: folder that noise paths are relative to.

    Returns:
        {column: value}.
    """
    row = {"mixture_ID": "_".join(Path(source.path).stem for source in mixture.sources)}
    for i, source in enumerate(mixture.sources, 1):
        row[f"source_{i}_path"] = Path(source.path).relative_to(speech_root).as_posix()
        row[f"source_{i}_gain"] = f"{source.gain:.6f}"
    row["noise_path"] = Path(mixture.noise.path).relative_to(noise_root).as_posix()
    row["noise_gain"] = f"{mixture.noise.gain:.6f}"
    offsets = ["offset"] if mixture.num_talkers == 2 else [f"offset{i}" for i in range(1, mixture.num_talkers)]
    row |= {name: f"{source.onset:.3f}" for name, source in zip(offsets, mixture.sources[1:], strict=True)}
    return row


def make(corpus: Path, seed: int) -> None:
    """Writes the CSVs of all sets and numbers of talkers.

    Args:
        corpus: folder with LibriSpeech and wham_noise.
        seed: decides the draws.

    Raises:
        UserError: A mixture came twice.
    """
    speech_root, noise_root = corpus / "LibriSpeech", corpus / "wham_noise"
    for name, (speech, noise, count) in SETS.items():
        pool, noises = build_pool(speech_root, speech), build_noise_pool(noise_root / noise)
        for num_talkers in (1, 2, 3):
            drawn = draw(rule(seed, num_talkers, count), pool, noises, epoch=num_talkers)
            rows = [columns(mixture, speech_root, noise_root) for mixture in drawn]
            if len({row["mixture_ID"] for row in rows}) < count:
                raise UserError(f"{speech}: a mixture came twice; use another --seed, or more utterances")
            path = corpus / "metadata" / f"mini{num_talkers}mix_{name}.csv"
            with atomic_write(path) as f:
                writer = csv.DictWriter(f, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            print(f"{path}: {count} mixtures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="corpus folder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()
    try:
        make(args.corpus, args.seed)
    except UserError as error:
        sys.exit(f"make_metadata.py: error: {error}")


if __name__ == "__main__":
    main()
