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
    modes = parser.add_subparsers(dest="mode", required=True, metavar="librimix|offsets|simulation")
    fixed = modes.add_parser("librimix", help="fixed mixtures from LibriMix metadata CSVs with start offsets")
    fixed.add_argument(
        "--csv",
        type=Path,
        nargs="+",
        required=True,
        help="metadata; with several CSVs or both conditions, ids get a prefix such as 2mix-noisy_",
    )
    fixed.add_argument("--condition", choices=("clean", "noisy", "both"), required=True, help="without or with noise")
    fixed.add_argument(
        "--mode",
        dest="mix_mode",
        choices=("max", "min"),
        default="max",
        help="until the last talker ends, or the first",
    )
    fixed.add_argument(
        "--speed_perturb",
        type=speeds,
        default=(1.0,),
        metavar='"0.9 1.0 1.1"',
        help="each mixture at each of these speeds; ids of other speeds than 1 get a prefix such as sp0.9-",
    )
    fixed.add_argument(
        "--store_mixtures",
        type=Path,
        metavar="DIR",
        help="write 16-bit WAV files to DIR/NAME (NAME of the data directory) and wav.scp; without it, mixtures are"
        " mixed while they are read",
    )
    fixed.add_argument(
        "--noise_augmented",
        type=Path,
        metavar="DIR",
        help="make noises of changed speed (NAMEsp08.wav, NAMEsp12.wav) here where noise_root lacks them",
    )
    fixed.add_argument("--nj", type=int, default=1, help="processes that write audio (default: %(default)s)")
    offsets = modes.add_parser("offsets", help="draw start offsets for LibriMix metadata CSVs that have none")
    offsets.add_argument("--csv", type=Path, nargs="+", required=True, help="metadata of two or three talkers")
    offsets.add_argument("--seed", type=int, default=0, help="decides the offsets (default: %(default)s)")
    offsets.add_argument("--out", type=Path, required=True, help="folder for the CSVs with offsets, names unchanged")
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

    if args.mode in ("librimix", "offsets"):
        inputs, work = args.csv, {"librimix": librimix, "offsets": draw_offsets}[args.mode]
    else:
        texts = [path for subset in args.subset for path in (args.speech_root / subset).rglob("*.trans.txt")]
        inputs, work = [args.config, *texts], simulation
    options = {name: value for name, value in vars(args).items() if name != "nj"}
    if done.is_done(args.out, options, inputs):
        print(f"{args.out}: done already, skipped")
        return
    done.start(args.out)
    print(f"{args.out}: {work(args)}")
    done.finish(args.out, options)


def librimix(args: argparse.Namespace) -> str:
    """Writes a data directory of fixed mixtures; returns a summary."""
    from espnet2_sop.mixture.datadir import write_data_dir
    from espnet2_sop.mixture.librimix import at_speeds, read_librimix
    from espnet2_sop.mixture.stored import store_mixtures

    mixtures = at_speeds(
        read_librimix(
            args.csv,
            args.speech_root,
            args.noise_root,
            args.condition,
            args.mix_mode,
            noise_augmented=args.noise_augmented,
            missing_list=args.out / "missing.txt",
            length_cache=args.out.parent / ".num_samples.tsv",
            nj=args.nj,
        ),
        args.speed_perturb,
    )
    if args.store_mixtures:
        mixtures = store_mixtures(mixtures, args.store_mixtures / args.out.name, args.nj)
    counts = {mixture.num_talkers for mixture in mixtures}
    write_data_dir(mixtures, args.out, args.condition, counts.pop() if len(counts) == 1 else None)
    hours = sum(mixture.duration for mixture in mixtures) / 3600
    return f"{len(mixtures)} mixtures, {hours:.2f} hours"


def speeds(text: str) -> tuple[float, ...]:
    """Reads "0.9 1.0 1.1"."""
    factors = tuple(float(word) for word in text.split())
    if not factors or len(set(factors)) < len(factors) or not all(0.5 <= factor <= 2 for factor in factors):
        raise argparse.ArgumentTypeError(f"{text!r}: different factors from 0.5 to 2, such as '0.9 1.0 1.1'")
    return factors


def draw_offsets(args: argparse.Namespace) -> str:
    """Writes metadata with start offsets; returns a summary."""
    from espnet2_sop.mixture import offsets

    if len({csv.name for csv in args.csv}) < len(args.csv):
        raise UserError(f"{args.out}: two of the CSVs have the same name; give each its own --out")
    if inside := [csv for csv in args.csv if csv.parent.resolve() == args.out.resolve()]:
        raise UserError(f"{args.out}: the folder of {inside[0]} itself; give another --out")
    count = sum(offsets.draw_offsets(csv, args.out / csv.name, args.seed) for csv in args.csv)
    return f"offsets of {count} mixtures"


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
