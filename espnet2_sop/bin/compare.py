"""`espnet2-sop compare`: two systems on the same mixtures."""

import argparse
import os
from pathlib import Path

from espnet2_sop.errors import UserError
from espnet2_sop.files import read_kaldi


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop compare",
        description="Difference of two systems on one test set, and the mixtures where they differ most.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="scored hypothesis folder")
    parser.add_argument("b", type=Path, metavar="B", help="scored hypothesis folder of the same test set")
    parser.add_argument("--metric", default="cpwer", help="metric of score.json (default: %(default)s)")
    parser.add_argument("--top", type=int, default=10, help="number of mixtures to show (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.top < 0:
        raise UserError(f"--top {args.top}: give the number of mixtures to show, 0 for none")
    from espnet2_sop.scoring.metrics import title
    from espnet2_sop.scoring.record import NAME, compare_records, read_record
    from espnet2_sop.scoring.table import with_interval

    folders = (args.a, args.b)
    a, b = (read_record(folder / NAME) for folder in folders)
    difference = compare_records(a, b, args.metric)
    print(f"{title(args.metric)} in percent on {a['test_set']}, {a['mixtures']} mixtures")
    for name, folder, record in zip("AB", folders, (a, b), strict=True):
        total = record["metrics"][args.metric]
        counts = ", ".join(f"{key[0].upper()} {total[key]}" for key in ("substitutions", "deletions", "insertions"))
        rate = with_interval(total["rate"], total["interval"])
        print(f"{name}      {rate} ({counts} of {total['words']} words)  {record['system']}  {folder}")
    print("A - B  " + (f"{difference}, p = {difference.p:.4f}" if difference else "no reference words"))

    errors = {key: tuple(sum(r["per_mixture"][key][args.metric][:3]) for r in (a, b)) for key in a["per_mixture"]}
    ranked = sorted((k for k, (x, y) in errors.items() if x != y), key=lambda k: -abs(errors[k][0] - errors[k][1]))
    texts = [reference_folder(args.a, a["reference"]), *folders]
    ref, hyp_a, hyp_b = (read_kaldi(folder / "text") for folder in texts)
    for key in ranked[: args.top]:
        print(f"\n{key}: {errors[key][0]} errors in A, {errors[key][1]} in B")
        print(f"  ref {ref.get(key, '')}\n  A   {hyp_a.get(key, '')}\n  B   {hyp_b.get(key, '')}")


def reference_folder(hyp: Path, reference: str) -> Path:
    """The data directory that a hypothesis folder was scored against, from the relative path in its score.json."""
    return Path(os.path.normpath(os.path.join(os.path.abspath(hyp), reference)))
