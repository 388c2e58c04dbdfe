"""Learning curves and settings of training runs, from `train.log` and `config.yaml`.

The log is the source because it survives what the others do not: checkpoints are large and left behind when a folder
is copied, and `images/` holds pictures. It is appended to by every call, so a training that went on is in it whole.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_sop.io.files import open_text, read_yaml
from espnet2_sop.scoring.tables.systems import system_rank

LOG_NAME = "train.log"
RESULTS = re.compile(r"\b(\d{1,9})epoch results: (.*)")
PART = re.compile(r"\[(\w+)\] ")
VALUE = re.compile(r"(\w+)=([-+.\w]+)")
TIME = re.compile(r"\btime=(.*?), total_count=(\d+)")
TIMESPAN = re.compile(r"([\d.]+) (week|day|hour|minute|second|millisecond)s?\b")
SECONDS = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1, "millisecond": 0.001}
PARAMETERS = re.compile(r"(Total Number of model|Number of trainable) parameters: ([\d.]+ ?[KMGTB]?)")
TORCH = re.compile(r"pytorch\.version=([^,\s]+), cuda\.available=(\w+)")

Epochs = dict[int, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: The system it trains, the folder's name without the stage.
        stage: 0 to 3; None for a baseline.
        epochs: {epoch: {"train" or "valid": {statistic: value}}}, those that are finite. Times are in `seconds`,
            updates so far in `updates`.
        details: What the log says of the machine and the model: parameters, trainable, torch, cuda.
        config: `config.yaml` of the run, or nothing.
    """

    name: str
    stage: int | None
    epochs: Epochs
    details: dict[str, str]
    config: dict[str, Any]

    def curve(self, part: str, statistic: str) -> tuple[list[int], list[float]]:
        """The course of a statistic.

        Args:
            part: "train" or "valid".
            statistic: Its name in the log.

        Returns:
            Epochs and values, without the epochs that lack it.
        """
        points = [(epoch, values[part][statistic]) for epoch, values in sorted(self.epochs.items())
                  if statistic in values.get(part, {})]  # fmt: skip
        return [epoch for epoch, _ in points], [value for _, value in points]

    @property
    def seconds(self) -> float:
        """Time spent in all epochs."""
        return sum(values.get("seconds", 0) for parts in self.epochs.values() for values in parts.values())


def read_runs(root: Path) -> list[Run]:
    """Reads every training below a folder, by stage and system; folders without a log are no trainings."""
    runs = [read_run(path.parent) for path in sorted(root.rglob(LOG_NAME))]
    return sorted(runs, key=lambda run: (math.inf if run.stage is None else run.stage, system_rank(run.name)))


def read_run(folder: Path) -> Run:
    """Reads one training run.

    Raises:
        UserError: `config.yaml` is there and broken.
    """
    with open_text(folder / LOG_NAME) as f:
        f.reconfigure(errors="replace")
        epochs, details = parse_log(f)
    found = re.fullmatch(r"stage(\d+)_(.+)", folder.name)
    config = read_yaml(folder / "config.yaml") if (folder / "config.yaml").is_file() else {}
    return Run(found[2] if found else folder.name, int(found[1]) if found else None, epochs, details, config)


def parse_log(lines: Iterable[str]) -> tuple[Epochs, dict[str, str]]:
    """Takes the results of epochs and the details out of the lines of a log.

    An epoch that comes again begins a new attempt: it and all after it are those of the attempt.
    """
    epochs: Epochs = {}
    details: dict[str, str] = {}
    for line in lines:
        if found := RESULTS.search(line):
            epoch = int(found[1])
            epochs = {number: values for number, values in epochs.items() if number < epoch}
            epochs[epoch] = parse_results(found[2])
        elif found := PARAMETERS.search(line):
            details["parameters" if found[1].startswith("Total") else "trainable"] = found[2]
        elif found := TORCH.search(line):
            details |= {"torch": found[1], "cuda": found[2]}
    return epochs, details


def parse_results(text: str) -> dict[str, dict[str, float]]:
    """`[train] loss=0.4, ..., time=1 minute and 2.5 seconds, total_count=100, [valid] ...` to numbers."""
    pieces = PART.split(text)
    parts = {}
    for part, values in zip(pieces[1::2], pieces[2::2], strict=True):
        numbers = {}
        if found := TIME.search(values):
            spans = TIMESPAN.findall(found[1])
            numbers = {"seconds": sum(number(n) * SECONDS[unit] for n, unit in spans), "updates": number(found[2])}
            values = values[: found.start()]
        numbers |= {name: number(value) for name, value in VALUE.findall(values)}
        parts[part] = {name: value for name, value in numbers.items() if math.isfinite(value)}
    return parts


def number(text: str) -> float:
    """A value of the log; what is no number is not a number (nan)."""
    try:
        return float(text)
    except ValueError:
        return math.nan
