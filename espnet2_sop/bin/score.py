"""`espnet2-sop score`: scores hypotheses against references."""

import argparse
import sys
from pathlib import Path

from espnet2_sop.io.errors import UserError, printable


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop score",
        usage="%(prog)s [options] REF HYP [HYP ...]\n       %(prog)s [options] --data DIR HYP [HYP ...]",
        description="Writes score.json, score.md and score.csv (a row for each mixture) of every hypothesis: cpWER,"
        " order WER, slot WER, ORC-WER, ref-permutation WER and talker counts, by number of talkers, overlap, slot,"
        " onset gap, duration and condition. REF and HYP are Kaldi-style folders or files with serialized `text`,"
        " SegLST (.json) or STM (.stm).",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="REF HYP", help="a reference and what to score with it")
    parser.add_argument("--data", type=Path, help="folder of references instead of REF; takes the one named as HYP")
    parser.add_argument("--system", help="name of the system (default: the folder above HYP, or the name of a file)")
    parser.add_argument(
        "--metric", action="append", default=[], metavar="MODULE:FUNCTION", help="also compute a metric of your own"
    )
    parser.add_argument("--strict", action="store_true", help="fail when a mixture has no hypothesis")
    parser.add_argument("--out", type=Path, help="where to write (default: folder HYP, or HYP without ending + _score)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    hypotheses = args.paths if args.data else args.paths[1:]
    if not hypotheses:
        raise UserError(f"{args.paths[0]} is the reference; give a hypothesis, too, or --data with the references")
    if args.out and len(hypotheses) > 1:
        raise UserError(f"--out {args.out}: {len(hypotheses)} hypotheses would be written into it; give one of them")
    from espnet2_sop.scoring.metrics import METRICS, own_metrics, title
    from espnet2_sop.scoring.record import name_of, score, write_record
    from espnet2_sop.scoring.score import name_ids
    from espnet2_sop.scoring.tables.one_set import summary_line, write_csv, write_report

    metrics = {**METRICS, **own_metrics(args.metric)}
    for hyp in hypotheses:
        ref = args.data / name_of(hyp) if args.data else args.paths[0]
        record = score(ref, hyp, args.system, args.strict, metrics)
        warnings = [f"{title(name)} is left out ({reason})" for name, reason in record["left_out"].items()]
        if record["missing"]:
            warnings.append(f"{name_ids(record['missing'])} without hypothesis, counted as deletions")
        for warning in warnings:
            print(printable(f"espnet2-sop score: warning: {hyp}: {warning}"), file=sys.stderr)
        out = args.out or (hyp if hyp.is_dir() else hyp.with_name(f"{name_of(hyp)}_score"))
        write_csv(out / "score.csv", record)
        write_report(out / "score.md", record)
        write_record(out, record)
        print(summary_line(record))
