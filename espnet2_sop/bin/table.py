"""`espnet2-sop table`: all scores of an experiment in one place."""

import argparse
from pathlib import Path


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop table", description="Gathers every score.json into results.json and RESULTS.md."
    )
    parser.add_argument("exp", nargs="+", type=Path, metavar="EXPDIR", help="folders to search for score.json")
    parser.add_argument("--out", type=Path, help="where to write (default: the first EXPDIR)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.scoring.table import write_results

    print(write_results(args.exp, args.out or args.exp[0]), end="")
