"""`espnet2-sop unpack`: a packed model as what a training starts from."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop unpack",
        description="Makes of a packed model a folder to train from: OUT/model.pth for --init_param, its configuration "
        "beside it, and OUT/vocab/KIND, the vocabulary of its CTC heads. What is there already is not made again.",
    )
    parser.add_argument("model", help="folder or zip of espnet2-sop pack, or a Hugging Face id")
    parser.add_argument("--revision", help="branch, tag or commit of the Hugging Face repository")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.io import done
    from espnet2_sop.packaging.locate import WEIGHTS, open_package

    folder = open_package(args.model, args.revision)
    options = vars(args) | {"folder": folder}  # each content of a zip, each commit of the hub has its own
    if done.is_done(args.out, options, [folder / WEIGHTS]):
        print(f"{args.out}: done already, skipped")
        return
    from espnet2_sop.packaging.pack import is_package, unpack

    if not is_package(folder):
        raise UserError(
            f"{args.model}: not what espnet2-sop pack makes; of a run folder, give --init_param a checkpoint"
        )
    done.start(args.out)
    kind = unpack(folder, args.out)
    done.finish(args.out, options)
    print(f"{args.out}: model.pth, config.yaml, vocab/{kind}")
