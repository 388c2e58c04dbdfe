"""`espnet2-sop format`: filters a data directory by length, writes shapes, checks it."""

import argparse
import dataclasses
from collections import Counter
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import write_kaldi

SHOWN = 5  # problems in a message


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
    kept, dropped = (simulation if (args.src / "simulation.yaml").is_file() else mixtures)(args)
    done.finish(args.dst, vars(args))
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    print(f"{args.dst}: {kept} kept, {dropped.total()} dropped" + (f" ({reasons})" if reasons else ""))


def by_length(items: list, args: argparse.Namespace) -> tuple[list, Counter]:
    """Leaves out what is too long or too short.

    Args:
        items: Objects with `num_samples` at 16 kHz, mixtures or utterances.
        args: Options of the command, with min_duration and max_duration in seconds.

    Returns:
        The others, and {reason: number of items left out}.

    Raises:
        UserError: Nothing is left.
    """
    from espnet2_sop.mixture import SAMPLE_RATE

    kept, dropped = [], Counter()
    for item in items:
        if item.num_samples > args.max_duration * SAMPLE_RATE:
            dropped[f"longer than {args.max_duration:g} s"] += 1
        elif item.num_samples < args.min_duration * SAMPLE_RATE:
            dropped[f"shorter than {args.min_duration:g} s"] += 1
        else:
            kept.append(item)
    if not kept:
        raise UserError(
            f"{args.src}: nothing is {args.min_duration:g} to {args.max_duration:g} s long; change the limits"
        )
    return kept, dropped


def mixtures(args: argparse.Namespace) -> tuple[int, Counter]:
    """Formats a data directory of fixed mixtures; returns the number kept, and {reason: number left out}."""
    from espnet2_sop.mixture.datadir import check_data_dir, read_info, write_data_dir
    from espnet2_sop.mixture.manifest import read_manifest

    info = read_info(args.src)
    kept, dropped = by_length(read_manifest(args.src / "mixtures.jsonl"), args)
    (args.dst / "info.json").unlink(missing_ok=True)
    write_kaldi(args.dst / "speech_shape", sorted((mixture.id, mixture.num_samples) for mixture in kept))
    write_data_dir(kept, args.dst, info["condition"], info["num_talkers"])
    if problems := check_data_dir(args.dst):
        (args.dst / "info.json").unlink()
        more = f"; and {len(problems) - SHOWN} more problems" if len(problems) > SHOWN else ""
        raise UserError("; ".join(problems[:SHOWN]) + more)
    return len(kept), dropped


def simulation(args: argparse.Namespace) -> tuple[int, Counter]:
    """Formats the pool of a simulation and tries to draw from it; returns the same as `mixtures`."""
    from espnet2_sop.mixture.simulation.rule import Simulation

    rule = args.src / "simulation.yaml"
    held = Simulation.read(rule)
    kept, dropped = by_length(held.pool, args)
    held = dataclasses.replace(held, pool=kept)
    if missing := held.missing_files():
        raise UserError(f"{args.src}: {len(missing)} audio files are missing, such as {missing[0]}; prepare it again")
    held.draw(1)
    held.write(rule, args.dst)
    return len(kept), dropped
