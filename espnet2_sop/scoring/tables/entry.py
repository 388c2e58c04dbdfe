"""A results file that grows: one entry for each experiment, with what is needed to repeat it."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, open_text
from espnet2_sop.scoring.record import Record
from espnet2_sop.scoring.tables.environment import environment, said_by
from espnet2_sop.scoring.tables.markdown import blocks
from espnet2_sop.scoring.tables.results import gather, main_sections, result_row, set_section
from espnet2_sop.scoring.tables.trainings import find_configs, training_section


def append_entry(exp: Path, path: Path) -> str:
    """Appends the results of an experiment to a Markdown file, which is made if it is not there.

    Args:
        exp: Experiment with `score.json` files, and the training runs in `*/config.yaml`.
        path: The file.

    Returns:
        The name of the entry, which depends on scores and configurations, not on date or machine.

    Raises:
        UserError: Nothing is scored, or the file has the entry already.
    """
    records, configs = gather([exp]), find_configs([exp])
    name = entry_name(records, configs)
    old = ""
    if path.is_file():
        with open_text(path) as f:
            old = f.read()
    if f"<!-- entry {name} -->" in old:
        raise UserError(f"{path}: has these scores and configurations already (entry {name}); nothing is appended")
    parts = [old.rstrip() or "# RESULTS", *entry(name, exp, records, configs)]
    with atomic_write(path) as f:
        f.write("\n\n".join(parts) + "\n")
    return name


def entry_name(records: Sequence[Record], configs: dict[str, Path]) -> str:
    """The name of an entry, which depends on scores, references and configurations.

    Args:
        records: The records of `gather`.
        configs: {run: its config.yaml}.

    Returns:
        Twelve hexadecimal digits.
    """
    scores = [[result_row(record), record["reference_digest"]] for record in records]
    texts = {run: path.read_text(encoding="utf-8", errors="replace") for run, path in configs.items()}
    return hashlib.sha256(json.dumps([scores, texts], sort_keys=True).encode()).hexdigest()[:12]


def entry(name: str, exp: Path, records: Sequence[Record], configs: dict[str, Path]) -> list[str]:
    """The text of one experiment.

    Args:
        name: Of the entry.
        exp: The experiment folder.
        records: The records of `gather`.
        configs: {run: its config.yaml}.

    Returns:
        Headings, lists and tables, to be joined by empty lines.
    """
    runs = [training_section(configs)] if configs else []
    sections = [*runs, set_section(records), *main_sections(records)]
    return [
        f"## {place(exp)}, {time.strftime('%Y-%m-%d')}",
        f"<!-- entry {name} -->",
        "\n".join(f"- {key}: {value}" for key, value in environment([exp]).items()),
        *(part for section in sections for part in blocks(section, "###")),
        f"Normalisation of both sides: {records[0]['normalization']}.",
    ]


def place(exp: Path) -> str:
    """The experiment's folder, seen from the root of its repository."""
    root = said_by("git", "-C", str(exp), "rev-parse", "--show-toplevel")
    return os.path.relpath(os.path.realpath(exp), os.path.realpath(root)) if root else os.path.abspath(exp)
