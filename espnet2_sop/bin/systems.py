"""`espnet2-sop systems`: the systems of a recipe, in the order in which they are trained."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from espnet2_sop.training.systems import PRETRAINED, SCRATCH, System, known_systems, resolve_systems

COLUMNS = ("system", "stage", "objective", "decoded as", "run", "checkpoint", "inherits")


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop systems",
        description="Shows the systems of a folder of configurations as a tree: what each train_NAME.yaml starts from "
        "(init_from), the stage of sop.sh in which it is trained, its objective, how it is decoded (decode_mode), the "
        "folder of its run, the checkpoint that goes on, and the file that it changes (defaults). Mistakes in these "
        "keys are told before anything is trained.",
    )
    parser.add_argument("conf_dir", type=Path, help="folder with train_NAME.yaml")
    parser.add_argument(
        "--base_config",
        type=Path,
        nargs="*",
        help="configuration of all systems; of several files later ones win [base.yaml of the folder, or of the one "
        "above it]",
    )
    parser.add_argument("--systems", nargs="*", help="these, and what they start from [all]")
    parser.add_argument("--expdir", default="exp", help="folder of the experiment, for the commands [exp]")
    parser.add_argument("--pretrained", help="checkpoint that systems with init_from: pretrained start from")
    parser.add_argument(
        "--format",
        choices=("tree", "commands", "tsv"),
        default="tree",
        help="commands: what trains them, in order, without data; tsv: what sop.sh reads [tree]",
    )
    return parser


def tree(systems: Sequence[System]) -> str:
    """A table whose first column is the tree of what starts from what."""
    rows = [COLUMNS]

    def add(parent: str, depth: int) -> None:
        for system in systems:
            if system.init_from == parent:
                cells = (str(system.stage), system.objective, system.decode_mode, system.folder, system.checkpoint)
                cells = cells if system.trained else (*cells[:1], "not trained", *cells[2:])
                rows.append((f"{'   ' * depth}{system.name}", *cells, system.inherits))
                add(system.name, depth + 1)

    for root in (PRETRAINED, SCRATCH):
        if any(system.init_from == root for system in systems):
            rows.append((f"({root})", *[""] * (len(COLUMNS) - 1)))
            add(root, 1)
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def tsv(systems: Sequence[System], expdir: str, pretrained: str | None) -> str:
    """One line per system, in order; columns as `sop.sh` reads them, then the words of the training command.

    Args:
        systems: In the order in which they are trained.
        expdir: Folder of the experiment.
        pretrained: Checkpoint in place of the pretrained parts.

    Returns:
        Lines of: system, stage, number of the group that can be trained side by side, run, `init_from`, initial
        checkpoint (`-` if none), checkpoint, decode mode, vocabulary, whether it is trained, words of the command.
    """
    groups = list(dict.fromkeys((system.stage, system.turn) for system in systems))
    return "\n".join(
        "\t".join(
            [
                system.name,
                str(system.stage),
                str(groups.index((system.stage, system.turn))),
                f"{expdir}/{system.folder}",
                system.init_from,
                system.init_param(expdir, pretrained) or "-",
                system.checkpoint,
                system.decode_mode,
                system.vocabulary,
                str(system.trained).lower(),
                *system.train_words(expdir, pretrained),
            ]
        )
        for system in systems
    )


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    names = known_systems(args.conf_dir) if args.systems is None else args.systems
    base = args.base_config
    if base is None:
        places = (args.conf_dir / "base.yaml", args.conf_dir.parent / "base.yaml")
        base = [path for path in places if path.is_file()][:1]
    systems = resolve_systems(args.conf_dir, base, names)
    if args.format == "tsv":
        print(tsv(systems, args.expdir, args.pretrained))
    elif args.format == "commands":
        for system in systems:
            print(shlex.join(system.train_words(args.expdir, args.pretrained)))
    else:
        print(tree(systems))
