"""`espnet2-sop format`: filters a data directory by length, writes shapes, checks it."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop format",
        description="Copies a data directory without mixtures (or, for a simulation, utterances) that are too long or"
        " too short, adds speech_shape for ESPnet's batches, and checks the result.",
    )
    parser.add_argument("src", type=Path, help="data directory made by `espnet2-sop prepare`")
    parser.add_argument("dst", type=Path, help="data directory to make")
    parser.add_argument("--max_duration", type=float, default=20.0, help="seconds (default: %(default)s)")
    parser.add_argument("--min_duration", type=float, default=0.5, help="seconds (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.io import done
    from espnet2_sop.mixture.length_filter import LengthFilter

    if not 0 <= args.min_duration <= args.max_duration < 1e6:
        raise UserError(f"--min_duration {args.min_duration:g} --max_duration {args.max_duration:g}: nothing between")
    if args.src.resolve() == args.dst.resolve():
        raise UserError(f"{args.dst}: source and destination are the same folder; give another one")
    if not args.src.is_dir():
        raise UserError(f"{args.src}: no such data directory; run `espnet2-sop prepare` first")
    if done.is_done(args.dst, vars(args), (path for path in args.src.iterdir() if path.is_file())):
        print(f"{args.dst}: done already, skipped")
        return
    done.start(args.dst)
    kept, dropped = LengthFilter(args.src, args.dst, args.min_duration, args.max_duration)()
    done.finish(args.dst, vars(args))
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    print(f"{args.dst}: {kept} kept, {dropped.total()} dropped" + (f" ({reasons})" if reasons else ""))
