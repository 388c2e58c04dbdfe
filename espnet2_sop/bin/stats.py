"""`espnet2-sop stats`: durations, overlap and word statistics of data directories."""

import argparse
import json
from pathlib import Path

from espnet2_sop.io.files import atomic_write


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop stats",
        description="Prints a Markdown table and writes it as JSON. A simulation is counted as drawn for epoch 1."
        " Overlap is the mean over mixtures; words and tokens per second are those of one talker while speaking.",
    )
    parser.add_argument("dirs", nargs="+", type=Path, metavar="DIR", help="data directories")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--vocab", type=Path, help="SentencePiece vocabulary of the CTC heads: counts its tokens, too")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.mixture.statistics import markdown, read_mixtures, statistics

    vocabulary = open_vocabulary(args.vocab) if args.vocab else None
    sets = {str(folder): statistics(read_mixtures(folder), vocabulary) for folder in args.dirs}
    with atomic_write(args.out) as f:
        json.dump({"sets": sets}, f, indent=1)
    print(markdown(sets))


def open_vocabulary(folder: Path):
    """Returns the SentencePiece vocabulary of a folder, None if the heads use the tokens of the LLM."""
    from espnet2_sop.text.vocabulary import SentencePieceVocabulary, read_vocabulary_info

    if read_vocabulary_info(folder)["kind"] != "sentencepiece":
        print(f"{folder}: tokens are those of the LLM, not counted\n")
        return None
    return SentencePieceVocabulary(folder / "spm.model")
