#!/usr/bin/env python3
"""Writes who says what in the embedded corpus.

Output, one utterance a line: subset, speaker, utterance, voice, speed, text
(tab-separated). The list is a function of the seed alone.
"""

import argparse
import random

from grammar import sentence

SUBSETS = {  # subset: (voices, utterances per speaker)
    "train-mini": (
        "af_alloy af_aoede af_heart af_jessica af_kore af_nicole af_river af_sky af_bella "
        "am_adam am_echo am_fenrir am_liam am_onyx am_puck am_santa bf_alice bf_isabella bm_fable bm_lewis",
        33,
    ),
    "dev-mini": ("af_nova am_eric bf_lily bm_daniel", 36),
    "test-mini": ("af_sarah am_michael bf_emma bm_george", 50),
}
SPEEDS = (0.9, 1.35)


def blends(voices: list[str], rng: random.Random) -> list[str]:
    """As many two-voice means as there are voices: more training speakers.

    Args:
        voices: names.
        rng: source of randomness.

    Returns:
        Names such as `af_sky+am_echo`, sorted.
    """
    pairs = [f"{a}+{b}" for i, a in enumerate(voices) for b in voices[i + 1 :]]
    return sorted(rng.sample(pairs, len(voices)))


def rows(seed: int):
    rng = random.Random(seed)
    seen, speaker = set(), 100
    for subset, (names, count) in SUBSETS.items():
        voices = names.split()
        if subset.startswith("train"):
            voices = voices + blends(voices, rng)
        for voice in voices:
            speaker += 1
            for number in range(count):
                text = sentence(rng)
                while text in seen:  # no sentence twice, so none of test is in train
                    text = sentence(rng)
                seen.add(text)
                speed = round(rng.uniform(*SPEEDS), 2)
                yield subset, speaker, f"{speaker}-1-{number:04d}", voice, speed, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()
    for row in rows(args.seed):
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
