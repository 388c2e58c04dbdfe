#!/usr/bin/env python3
"""Speaks the sentences of the embedded corpus with Kokoro-82M: one 16 kHz FLAC per utterance.

Needs `pip install 'espnet2_sop[voices]'` and the ONNX model and voices of Kokoro-82M, files of the release
https://github.com/thewh1teagle/kokoro-onnx/releases/tag/model-files-v1.0. Files that exist are not made again.
"""

import argparse
from pathlib import Path

from pack_corpus import read_sentences
from tqdm import tqdm

from espnet2_sop.mixture.audio import write_flac
from espnet2_sop.mixture.simulation.voices import Kokoro


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=Path, required=True, help="list written by make_sentences.py")
    parser.add_argument("--model", type=Path, required=True, help="ONNX file of Kokoro-82M")
    parser.add_argument("--voices", type=Path, required=True, help="its voices (.bin or .npz)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the FLAC files")
    args = parser.parse_args()

    kokoro = Kokoro(args.model, args.voices)
    utterances = [row for rows in read_sentences(args.sentences).values() for row in rows]
    for utterance, voice, speed, text in tqdm(utterances, unit="utt"):
        path = args.out / f"{utterance}.flac"
        if not path.exists():
            write_flac(path, kokoro.speak(text, voice, speed))


if __name__ == "__main__":
    main()
