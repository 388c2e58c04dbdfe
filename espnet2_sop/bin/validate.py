"""`espnet2-sop validate`: checks data directories and prints every problem."""

import argparse
import sys
from pathlib import Path

from espnet2_sop.io.errors import UserError, printable


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop validate",
        description="Checks that the files of data directories agree and that their audio exists. Prints every problem"
        " as 'file, line n: what'; the exit status is 1 if there is any.",
    )
    parser.add_argument("data", type=Path, nargs="+", help="data directories made by `prepare` or `format`")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    problems = sum([validate(folder) for folder in args.data])
    if problems:
        sys.exit(1)


def validate(folder: Path) -> int:
    """Prints the problems of a data directory, or its size if there are none; returns the number of problems."""
    problems, held = (simulation if (folder / "simulation.yaml").is_file() else mixtures)(folder)
    print("\n".join(map(printable, problems)) if problems else f"{folder}: ok: {held}")
    return len(problems)


def mixtures(folder: Path) -> tuple[list[str], str]:
    """Returns the problems of a directory of fixed mixtures, and its size in words if there are none."""
    from espnet2_sop.mixture.datadir import check_data_dir
    from espnet2_sop.mixture.manifest import read_manifest

    if problems := check_data_dir(folder):
        return problems, ""
    held = read_manifest(folder / "mixtures.jsonl")
    counts = ", ".join(str(count) for count in sorted({mixture.num_talkers for mixture in held}))
    hours = sum(mixture.duration for mixture in held) / 3600
    return [], f"{len(held)} mixtures of {counts} talker(s), {hours:.2f} hours"


def simulation(folder: Path) -> tuple[list[str], str]:
    """Returns the problems of a directory of a simulation, and its size in words if there are none."""
    from espnet2_sop.mixture.simulation.rule import Simulation

    try:
        held = Simulation.read(folder / "simulation.yaml")
        held.draw(1)
    except UserError as error:
        return [str(error)], ""
    return [f"{folder}: no such audio file: {path}" for path in held.missing_files()], held.summary
