"""The training runs of an experiment, from their `config.yaml`."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet2_sop.io.files import read_yaml
from espnet2_sop.scoring.tables.markdown import DASH, Section, Table

HEADER = ("run", "seed", "epochs", "trained", "encoder", "LLM", "training data", "starts from", "config.yaml")


def find_configs(folders: Iterable[Path]) -> dict[str, Path]:
    """{run: its config.yaml} of all experiments."""
    return {path.parent.name: path for folder in folders for path in sorted(folder.glob("*/config.yaml"))}


def training_section(configs: Mapping[str, Path]) -> Section:
    """A row for each training run."""
    rows = [run_row(run, path) for run, path in configs.items()]
    note = "`config.yaml` has all settings of a run; the last column is the start of its SHA-256."
    return Section("Training runs", [note], [Table(HEADER, rows)])


def run_row(run: str, path: Path) -> list[str]:
    """What distinguishes a training from others; all of it is in its config.yaml, of which the row has the SHA-256.

    Args:
        run: Name of the run.
        path: Its config.yaml.

    Returns:
        The cells of its row.
    """
    config = read_yaml(path)
    return [
        run,
        said(config, "seed") or DASH,
        said(config, "max_epoch") or DASH,
        said(config, "model_conf", "trainable") or "all",
        said(config, "encoder_conf", "pretrained") or said(config, "encoder") or DASH,
        said(config, "llm_conf", "pretrained") or DASH,
        said(config, "train_data_path_and_name_and_type", 0, 0) or DASH,
        said(config, "init_param") or DASH,
        hashlib.sha256(path.read_bytes()).hexdigest()[:12],
    ]


def said(config: Any, *keys: str | int) -> str:
    """A value inside a configuration.

    Args:
        config: The configuration.
        *keys: Keys and indices, one inside the other.

    Returns:
        The value as words; nothing where there is none.
    """
    for key in keys:
        try:
            config = config[key]
        except (LookupError, TypeError):
            return ""
    return " ".join(map(str, config)) if isinstance(config, list) else "" if config is None else str(config)
