#!/usr/bin/env python3
"""Speaks the sentences of the embedded corpus with Kokoro-82M: one 16 kHz FLAC per utterance.

Needs `pip install kokoro-onnx` and the ONNX model and voices of Kokoro-82M. What is there is not made again.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr
from pack_corpus import read_sentences
from tqdm import tqdm

RATE = 16000


def style(model, voice: str) -> np.ndarray:
    """The style of a voice, or the mean of two joined by `+`."""
    return np.mean([model.get_voice_style(name) for name in voice.split("+")], axis=0).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=Path, required=True, help="list written by make_sentences.py")
    parser.add_argument("--model", required=True, help="ONNX file of Kokoro-82M")
    parser.add_argument("--voices", required=True, help="its voices (.bin or .npz)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the FLAC files")
    args = parser.parse_args()

    from kokoro_onnx import Kokoro

    model = Kokoro(args.model, args.voices)
    args.out.mkdir(parents=True, exist_ok=True)
    utterances = [row for rows in read_sentences(args.sentences).values() for row in rows]
    for utterance, voice, speed, text in tqdm(utterances, unit="utt"):
        path = args.out / f"{utterance}.flac"
        if path.exists():
            continue
        language = "en-gb" if voice.startswith("b") else "en-us"
        wave, rate = model.create(f"{text.capitalize()}.", voice=style(model, voice), speed=speed, lang=language)
        part = path.with_suffix(".part")
        soundfile.write(part, np.clip(soxr.resample(wave, rate, RATE), -1, 1), RATE, "PCM_16", format="FLAC")
        os.replace(part, path)


if __name__ == "__main__":
    main()
