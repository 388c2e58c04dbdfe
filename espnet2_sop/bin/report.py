"""`espnet2-sop report`: an experiment as one HTML file."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop report",
        description="Writes one HTML file with results, learning curves and examples to listen to; it needs no "
        "network and can be sent as it is. The figures are also written as SVG and PNG.",
    )
    parser.add_argument("exp", type=Path, metavar="EXPDIR", help="folder with score.json files below, such as exp")
    parser.add_argument("--out", type=Path, help="HTML file to write (default: EXPDIR/report.html)")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="folder of the figures (default: EXPDIR/report)")
    parser.add_argument("--examples", type=int, default=6, metavar="N", help="most examples (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.examples < 0:
        raise UserError(f"--examples {args.examples}: give the number of examples, 0 for none")
    from espnet2_sop.report.page import write_report

    out = args.out or args.exp / "report.html"
    page, *figures = write_report(args.exp, out, args.plots or args.exp / "report", args.examples)
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB; {len(figures)} figures in {figures[0].parent}")
