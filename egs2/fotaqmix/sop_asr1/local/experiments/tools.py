#!/usr/bin/env python3
"""What the experiments do with checkpoints and manifests, see the modes."""

import argparse
import sys
from pathlib import Path

import torch

Weights = dict[str, torch.Tensor]


def belongs(name: str, part: str) -> bool:
    """Whether a weight is of a part of the model.

    Args:
        name: of the weight, such as `separator.layers.0.weight`.
        part: such as `separator`; the LLM's weights belong to `llm` alone.

    Returns:
        True if the part is among the components of the name.
    """
    components = name.split(".")[:-1]
    return part == "llm" if "llm" in components else part in components


def mean(earlier: Weights, later: Weights) -> Weights:
    """The mean of all that stage 1 trains; the rest is that of the later checkpoint.

    Args:
        earlier: weights by name.
        later: weights with the same names and shapes.

    Returns:
        Weights by name.
    """
    learnt = [name for name in later if ".lora_" in name or belongs(name, "llm")]
    return {**later, **{name: (earlier[name] + later[name]) / 2 for name in learnt}}


def take(base: Weights, other: Weights, parts: list[str]) -> Weights:
    """A model with parts of another one.

    Args:
        base: weights by name.
        other: weights by name.
        parts: names of the parts that come from `other`.

    Returns:
        Weights by name.
    """
    return {**base, **{name: value for name, value in other.items() if any(belongs(name, part) for part in parts)}}


def piece_rows(old: list[str], new: list[str]) -> list[int]:
    """Where the weights of a new output layer come from: each piece from its last character, blank from blank.

    Args:
        old: pieces of the old output layer, whose last row is blank.
        new: pieces of the new one.

    Returns:
        Rows of the old output layer, one for each piece and blank.
    """
    return [old.index(piece[-1] if piece[-1] in old else "<unk>") for piece in new] + [len(old)]


def read_pieces(path: Path) -> list[str]:
    """The pieces of a vocabulary, one a line."""
    return [line.rstrip("\n") for line in path.open(encoding="utf-8")]


def join(folders: list[Path], out: Path) -> None:
    """Writes a data directory with the mixtures of several.

    Args:
        folders: data directories with manifests.
        out: the folder to make.
    """
    from espnet2_sop.mixture.datadir import write_data_dir
    from espnet2_sop.mixture.manifest import read_manifest

    write_data_dir([mixture for folder in folders for mixture in read_manifest(folder / "mixtures.jsonl")], out, "both")


def get_parser() -> argparse.ArgumentParser:
    """The modes and their options."""
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    sub = modes.add_parser("mean", help="the mean of two checkpoints of stage 1")
    sub.add_argument("checkpoints", nargs=2, type=Path, metavar="CHECKPOINT")
    sub = modes.add_parser("take", help="a checkpoint with parts of another")
    sub.add_argument("checkpoints", nargs=2, type=Path, metavar="CHECKPOINT")
    sub.add_argument("parts", nargs="+", help="e.g. separator")
    sub.add_argument("--pieces", nargs=2, type=Path, help="old and new tokens.txt: part ctc gets the new ones")
    sub = modes.add_parser("join", help="one fixed training set of several")
    sub.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    for sub in modes.choices.values():
        sub.add_argument("--out", type=Path, required=True)
    return parser


def main() -> None:
    """Runs a mode."""
    args = get_parser().parse_args()
    if args.mode == "join":
        join(args.folders, args.out)
        return
    for path in args.checkpoints:
        if not path.is_file():
            sys.exit(f"tools.py: error: {path}: no such checkpoint")
    first, second = (torch.load(path, map_location="cpu") for path in args.checkpoints)
    if args.mode == "mean":
        made = mean(first, second)
    else:
        made = take(first, second, args.parts)
        if args.pieces:
            rows = piece_rows(*map(read_pieces, args.pieces))
            made |= {name: second[name][rows] for name in second if belongs(name, "ctc")}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(made, args.out)


if __name__ == "__main__":
    main()
