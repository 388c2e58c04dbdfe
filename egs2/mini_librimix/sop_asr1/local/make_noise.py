#!/usr/bin/env python3
"""Synthesises ambient noises in the layout of WHAM: wham_noise/{tr,cv,tt}/*.ogg.

The crowds are made of training speakers. All of it is a function of the seed and of the packed corpus.
"""

import argparse
import sys
from pathlib import Path

from pack_corpus import write_opus

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.simulation.noise import synthesize
from espnet2_sop.mixture.simulation.pool import audio_files

SECONDS = 12
SUBSETS = {"tr": 12, "cv": 4, "tt": 6}


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
        for name, samples in synthesize([args.seed, number], count, SECONDS, voices):
            write_opus(args.corpus / "wham_noise" / subset / f"{name}.ogg", samples)
    size = sum(path.stat().st_size for path in (args.corpus / "wham_noise").rglob("*.ogg"))
    print(f"{sum(SUBSETS.values())} noises of {SECONDS} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
