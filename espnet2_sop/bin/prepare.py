"""`espnet2-sop prepare`: corpora of all kinds to data directories."""

import argparse
from collections.abc import Callable
from pathlib import Path


def natural(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if natural(text) == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop prepare",
        description="Makes one data directory; does nothing if it is there already, newer than its inputs.",
    )
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")

    def mode(name: str, text: str, *groups: Callable) -> argparse.ArgumentParser:
        made = modes.add_parser(name, help=text, description=text)
        for add in (*groups, _add_out):
            add(made)
        return made

    fixed = mode("librimix", "fixed mixtures from LibriMix metadata CSVs with start offsets", _add_noise)
    fixed.add_argument(
        "--csv",
        type=Path,
        nargs="+",
        required=True,
        help="metadata; with several CSVs or both conditions, ids get a prefix such as 2mix-noisy_",
    )
    fixed.add_argument("--condition", choices=("clean", "noisy", "both"), required=True, help="without or with noise")
    fixed.add_argument("--speech_root", type=Path, required=True, help="LibriSpeech folder")
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

    offsets = mode("offsets", "start offsets drawn for LibriMix metadata CSVs that have none")
    offsets.add_argument("--csv", type=Path, nargs="+", required=True, help="metadata of two or three talkers")
    offsets.add_argument("--seed", type=natural, default=0, help="decides the offsets (default: %(default)s)")

    mixes = mode("librispeechmix", "fixed mixtures from LibriSpeechMix lists")
    mixes.add_argument("--list", type=Path, nargs="+", required=True, help="lists, such as test-clean-2mix.jsonl")
    mixes.add_argument("--speech_root", type=Path, required=True, help="LibriSpeech folder")

    pool = (_add_librispeech, _add_tables)
    rule = (*pool, _add_rule, _add_noise)
    anew = mode("simulation", "training mixtures drawn anew in every epoch", *rule)
    anew.add_argument(
        "--turns",
        type=turn_lengths,
        metavar='"LOW HIGH"',
        help="join utterances that follow one another to turns of so many seconds, such as '0 10'",
    )
    drawn = mode("fixed", "mixtures drawn once, by the rule of a simulation", *rule)
    drawn.add_argument("--talkers", type=positive, nargs="+", required=True, help="numbers of talkers")
    drawn.add_argument("--condition", choices=("clean", "noisy", "both"), required=True, help="without or with noise")
    drawn.add_argument(
        "--number", type=positive, required=True, help="mixtures for each number of talkers and condition"
    )
    kept = mode("epochs", "the mixtures of some epochs of a simulation as a fixed set, whose caches trainings can read")
    kept.add_argument(
        "--simulation", type=Path, required=True, metavar="FILE", help="simulation.yaml, beside its pools"
    )
    kept.add_argument("--epochs", type=positive, nargs="+", required=True, help="numbers of the epochs, from 1")

    real = mode("segments", "real conversations, cut where nobody speaks", _add_tables)
    real.add_argument("--stm", type=Path, help="who said what and when; needs --audio")
    real.add_argument("--audio", type=Path, help="folder of the recordings that the STM names")
    real.add_argument("--max_pause", type=float, default=0.0, help="seconds of silence inside a region [%(default)s]")
    real.add_argument("--max_duration", type=float, default=20.0, help="longest region in seconds [%(default)s]")
    real.add_argument("--max_talkers", type=positive, default=3, help="most talkers of a region [%(default)s]")

    noise = mode("noise", "synthetic noises where no recorded ones are at hand", *pool, _add_seed)
    noise.add_argument("--number", type=positive, required=True, help="how many")
    noise.add_argument("--seconds", type=float, default=20.0, help="length of each [%(default)s]")
    rooms = mode("rooms", "simulated room responses (needs the extra 'rooms')", _add_seed)
    rooms.add_argument("--number", type=positive, required=True, help="how many rooms")
    rooms.add_argument("--positions", type=positive, default=3, help="talkers in each room [%(default)s]")
    voices = mode("voices", "texts spoken by synthetic voices (needs the extra 'voices')", *pool, _add_seed)
    voices.add_argument("--model", type=Path, required=True, help="ONNX file of Kokoro-82M, or of a Piper voice")
    voices.add_argument("--voices", type=Path, help="voices of Kokoro-82M (.bin or .npz); a Piper voice needs none")
    voices.add_argument("--number", type=positive, required=True, help="how many utterances")
    voices.add_argument(
        "--texts", type=Path, metavar="FILE", help="say its sentences, one a line, instead of those of a corpus"
    )
    voices.add_argument("--speakers", type=positive, help="how many; beyond Kokoro's voices, means of two [all voices]")
    return parser


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to make")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=natural, required=True, help="decides everything, from 0 on")


def _add_noise(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--noise_root", type=Path, help="folder of noises; needed for noisy mixtures")


def _add_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="rule of the simulation (YAML)")
    parser.add_argument("--room_root", type=Path, help="folder of room responses, a sub-folder for each room")


def _add_librispeech(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speech_root", type=Path, help="LibriSpeech-style folder; needs --subset")
    parser.add_argument("--subset", nargs="+", help="folders below speech_root, e.g. train-clean-100")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kaldi", type=Path, nargs="+", metavar="DIR", help="Kaldi directories of single talkers")
    parser.add_argument(
        "--lhotse", type=Path, nargs=2, metavar=("RECORDINGS", "SUPERVISIONS"), help="lhotse manifests (.jsonl[.gz])"
    )
    parser.add_argument(
        "--text_style",
        choices=("as_is", "librispeech"),
        default="as_is",
        help="librispeech: upper-case words and apostrophes, no other signs [%(default)s]",
    )


def speeds(text: str) -> tuple[float, ...]:
    """Reads "0.9 1.0 1.1"."""
    factors = tuple(float(word) for word in text.split())
    if not factors or len(set(factors)) < len(factors) or not all(0.5 <= factor <= 2 for factor in factors):
        raise argparse.ArgumentTypeError(f"{text!r}: different factors from 0.5 to 2, such as '0.9 1.0 1.1'")
    return factors


def turn_lengths(text: str) -> tuple[float, float]:
    """Reads "0 10"."""
    try:
        low, high = (float(word) for word in text.split())
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 <= low < high < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: seconds of the shortest and the longest turn, such as '0 10'")
    return low, high


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.io import done
    from espnet2_sop.mixture import prepare

    options = {name: value for name, value in vars(args).items() if name != "nj"}
    if done.is_done(args.out, options, inputs(args)):
        print(f"{args.out}: done already, skipped")
        return
    done.start(args.out)
    print(f"{args.out}: {prepare.MODES[args.mode](args)}")
    done.finish(args.out, options)


def inputs(args: argparse.Namespace) -> list[Path]:
    """Lists the text files that the command reads; it runs again when one of them is newer than its output."""
    given = vars(args)
    files = [*given.get("csv", ()), *given.get("list", ())] + [
        given[k] for k in ("config", "simulation", "stm", "texts") if given.get(k)
    ]
    files += given.get("lhotse") or ()
    for folder in given.get("kaldi") or ():
        files += [folder / name for name in ("wav.scp", "segments", "text", "utt2spk") if (folder / name).exists()]
    for subset in given.get("subset") or ():
        files += (args.speech_root / subset).rglob("*.trans.txt") if args.speech_root else ()
    return files
