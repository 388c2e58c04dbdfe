"""`espnet2-sop compare`: two systems on the same mixtures."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop compare",
        description="Difference of two systems on one test set (paired bootstrap over mixtures), and the mixtures where"
        " they differ most.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="folder with score.json; with --ref any hypothesis")
    parser.add_argument("b", type=Path, metavar="B", help="the same of another system")
    parser.add_argument("--ref", type=Path, help="scores A and B against this reference now, in any format of `score`")
    parser.add_argument("--metric", default="cpwer", help="metric of score.json (default: %(default)s)")
    parser.add_argument("--top", type=int, default=10, help="number of mixtures to show (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.top < 0:
        raise UserError(f"--top {args.top}: give the number of mixtures to show, 0 for none")
    from espnet2_sop.scoring.metrics import title
    from espnet2_sop.scoring.record import NAME, compare_records, read_record, score
    from espnet2_sop.scoring.tables.markdown import difference, error_rate
    from espnet2_sop.scoring.transcripts import read_transcripts, shown

    paths = (args.a, args.b)
    a, b = (score(args.ref, path) if args.ref else read_record(path / NAME) for path in paths)
    found = compare_records(a, b, args.metric)
    print(f"{title(args.metric)} in percent on {a['test_set']}, {a['mixtures']} mixtures")
    for name, path, record in zip("AB", paths, (a, b), strict=True):
        total = record["metrics"][args.metric]
        counts = ", ".join(f"{key[0].upper()} {total[key]}" for key in ("substitutions", "deletions", "insertions"))
        rate = error_rate(total)
        print(f"{name}      {rate} ({counts} of {total['words']} words)  {record['system']}  {path}")
    print("A - B  " + (f"{difference(found)}, p = {found.p:.4f}" if found else "no reference words"))

    errors = {key: tuple(sum(r["per_mixture"][key][args.metric][:3]) for r in (a, b)) for key in a["per_mixture"]}
    ranked = sorted((k for k, (x, y) in errors.items() if x != y), key=lambda k: -abs(errors[k][0] - errors[k][1]))
    if not ranked[: args.top]:
        return
    ref, hyp_a, hyp_b = (read_transcripts(Path(p)) for p in (a["reference"], a["hypothesis"], b["hypothesis"]))
    for key in ranked[: args.top]:
        print(f"\n{key}: {errors[key][0]} errors in A, {errors[key][1]} in B")
        for name, sessions in (("ref", ref), ("A  ", hyp_a), ("B  ", hyp_b)):
            print(f"  {name} {shown(sessions.get(key, []))}".rstrip())
