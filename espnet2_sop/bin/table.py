"""`espnet2-sop table`: all scores of an experiment in one place."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop table",
        description="Gathers every score.json into RESULTS.md, BREAKDOWN.md, results.json and results.csv.",
    )
    parser.add_argument("exp", nargs="+", type=Path, metavar="EXPDIR", help="folders to search for score.json")
    parser.add_argument("--out", type=Path, help="where to write (default: the first EXPDIR)")
    parser.add_argument(
        "--append",
        type=Path,
        metavar="FILE",
        help="also append the results of EXPDIR to this Markdown file, with versions, machine, commit, training runs"
        " and data; an error if the file has them already",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.append and len(args.exp) > 1:
        raise UserError(f"--append {args.append}: an entry is of one EXPDIR, {len(args.exp)} are given")
    from espnet2_sop.scoring.tables.results import write_results

    print(write_results(args.exp, args.out or args.exp[0]), end="")
    if args.append:
        from espnet2_sop.scoring.tables.entry import append_entry

        print(f"\n{args.append}: entry {append_entry(args.exp[0], args.append)} appended")
