"""`espnet2-sop score`: scores hypothesis folders against their data directories."""

import argparse
import sys
from pathlib import Path
from typing import Any


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop score",
        description="Writes score.json (cpWER, order WER, slot WER, talker counts) into every hypothesis folder.",
    )
    parser.add_argument("hyp", nargs="+", type=Path, metavar="HYP_DIR", help=".../SYSTEM/TEST_SET with `text`")
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument("--data", type=Path, help="folder of data directories; takes the one named TEST_SET")
    reference.add_argument("--ref", type=Path, help="one data directory for every hypothesis folder")
    parser.add_argument("--system", help="name of the system (default: the folder above TEST_SET)")
    parser.add_argument("--strict", action="store_true", help="fail when a mixture has no hypothesis")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.scoring.record import score_folder
    from espnet2_sop.scoring.score import name_ids

    for hyp in args.hyp:
        record = score_folder(args.ref or args.data / hyp.absolute().name, hyp, args.system, args.strict)
        if record["missing"]:
            message = f"{name_ids(record['missing'])} without hypothesis, counted as deletions"
            print(f"espnet2-sop score: warning: {hyp / 'text'}: {message}", file=sys.stderr)
        print(summary_line(record))


def summary_line(record: dict[str, Any]) -> str:
    """All scores of one set on one line."""
    from espnet2_sop.scoring.metrics import title
    from espnet2_sop.scoring.table import number, with_interval

    metrics = [
        f"{title(name)} {with_interval(m['rate'], m['interval'])}"
        f" (S {m['substitutions']}, D {m['deletions']}, I {m['insertions']} of {m['words']} words)"
        for name, m in record["metrics"].items()
    ]
    shares = [f"{title(name)} {number(record[name])}" for name in ("count_accuracy", "right_order")]
    return f"{record['system']} {record['test_set']}, {record['mixtures']} mixtures: {', '.join([*metrics, *shares])}"
