"""`espnet2-sop prepare`: LibriMix-style CSVs and LibriSpeech folders to data directories."""

import argparse
from pathlib import Path

from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_write, open_text


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop prepare",
        description="Makes one data directory; does nothing if it is there already, newer than its inputs.",
    )
    modes = parser.add_subparsers(dest="mode", required=True, metavar="librimix|simulation")
    fixed = modes.add_parser("librimix", help="fixed mixtures from LibriMix metadata CSVs with start offsets")
    fixed.add_argument(
        "--csv",
        type=Path,
        nargs="+",
        required=True,
        help="metadata; with several CSVs or both conditions, ids get a prefix such as 2mix-noisy_",
    )
    fixed.add_argument("--condition", choices=("clean", "noisy", "both"), required=True, help="without or with noise")
    drawn = modes.add_parser("simulation", help="training mixtures drawn anew in every epoch")
    drawn.add_argument("--subset", nargs="+", required=True, help="folders below speech_root, e.g. train-clean-100")
    drawn.add_argument("--config", type=Path, required=True, help="rule of the simulation (YAML)")
    for mode in (fixed, drawn):
        mode.add_argument("--speech_root", type=Path, required=True, help="LibriSpeech folder")
        mode.add_argument("--noise_root", type=Path, help="folder of noises; needed for noisy mixtures")
        mode.add_argument("--out", type=Path, required=True, help="data directory to make")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.mixture import done

    if args.mode == "librimix":
        inputs, work = args.csv, librimix
    else:
        texts = [path for subset in args.subset for path in (args.speech_root / subset).rglob("*.trans.txt")]
        inputs, work = [args.config, *texts], simulation
    if done.is_done(args.out, vars(args), inputs):
        print(f"{args.out}: done already, skipped")
        return
    done.start(args.out)
    print(f"{args.out}: {work(args)}")
    done.finish(args.out, vars(args))


def librimix(args: argparse.Namespace) -> str:
    """Writes a data directory of fixed mixtures; returns a summary."""
    from espnet2_sop.mixture.datadir import write_data_dir
    from espnet2_sop.mixture.librimix import CONDITIONS, read_librimix_csv

    conditions = CONDITIONS if args.condition == "both" else (args.condition,)
    parts = [(csv, condition) for csv in args.csv for condition in conditions]
    mixtures = []
    for csv, condition in parts:
        part = read_librimix_csv(csv, args.speech_root, args.noise_root, condition)
        mixtures += with_prefix(part, condition) if len(parts) > 1 else part
    counts = {mixture.num_talkers for mixture in mixtures}
    write_data_dir(mixtures, args.out, args.condition, counts.pop() if len(counts) == 1 else None)
    hours = sum(mixture.duration for mixture in mixtures) / 3600
    return f"{len(mixtures)} mixtures, {hours:.2f} hours"


def with_prefix(mixtures: list, condition: str) -> list:
    """The mixtures with ids like `2mix-noisy_ID`."""
    import dataclasses

    return [dataclasses.replace(m, id=f"{m.num_talkers}mix-{condition}_{m.id}") for m in mixtures]


def simulation(args: argparse.Namespace) -> str:
    """Writes the pools and the rule of a simulation; returns a summary."""
    from espnet2_sop.mixture.pool import build_noise_pool, build_pool, write_pool
    from espnet2_sop.mixture.simulate import draw, read_config

    config = read_config(args.config)
    if config.noise_prob > 0 and args.noise_root is None:
        raise UserError(f"{args.config}: noise_prob is above 0, so --noise_root is needed")
    pool = sorted((u for subset in args.subset for u in build_pool(args.speech_root, subset)), key=lambda u: u.id)
    noises = build_noise_pool(args.noise_root) if args.noise_root else []
    draw(config, pool, noises, epoch=1)
    write_pool(args.out / config.pool, pool)
    write_pool(args.out / config.noises, noises)
    with open_text(args.config) as rule, atomic_write(args.out / "simulation.yaml") as f:
        f.write(rule.read())
    speakers = len({utterance.speaker for utterance in pool})
    return f"{len(pool)} utterances of {speakers} speakers and {len(noises)} noises to draw from"


if __name__ == "__main__":
    main()
