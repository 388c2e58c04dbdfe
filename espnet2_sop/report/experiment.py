"""What an experiment folder holds, read for the report."""

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.io.json_shapes import is_number, read_json
from espnet2_sop.report.training_log import Run, read_runs
from espnet2_sop.scoring.metrics import cpwer
from espnet2_sop.scoring.prompt import quality
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.record import NAME, Record, read_record
from espnet2_sop.scoring.score import talker_words
from espnet2_sop.scoring.tables.environment import SPEED
from espnet2_sop.scoring.tables.results import gather
from espnet2_sop.scoring.tables.systems import system_rank


@dataclass(frozen=True)
class TestSet:
    """A data directory that was scored against; its tables are empty where the directory is gone.

    Attributes:
        name: Name of the test set.
        folder: Data directory.
        texts: {mixture id: serialized reference}.
        overlap: {mixture id: overlap ratio}.
        durations: {mixture id: seconds}.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    name: str
    folder: Path
    texts: dict[str, str]
    overlap: dict[str, float]
    durations: dict[str, float]


@dataclass(frozen=True)
class Result:
    """One system on one test set.

    Attributes:
        record: Its `score.json`.
        folder: Its hypothesis folder.
        test_set: What it was scored against.
        texts, prompts: {mixture id: serialized text}; no prompts where no CTC head was used.
        speed: Its `speed.json`, or nothing.
        quality: Its `prompt_quality.json`, or nothing.
    """

    record: Record
    folder: Path
    test_set: TestSet
    texts: dict[str, str]
    prompts: dict[str, str]
    speed: dict[str, Any]
    quality: dict[str, Any]

    @property
    def system(self) -> str:
        """Name of the system."""
        return self.record["system"]

    @property
    def errors(self) -> dict[str, tuple[int, int]]:
        """{mixture id: (errors, words)} of cpWER."""
        rows = ((key, row["cpwer"]) for key, row in self.record["per_mixture"].items())
        return {key: (sum(counts[:3]), counts[3]) for key, counts in rows}

    @cached_property
    def prompt_errors(self) -> dict[str, ErrorCount]:
        """{mixture id: cpWER errors of the prompt}, empty where the prompt is all there is or there is none."""
        if not self.prompts or self.prompts == self.texts:
            return {}
        references = self.test_set.texts
        return {
            key: cpwer(talker_words(references[key]), talker_words(self.prompts.get(key, "")))
            for key in self.record["per_mixture"]
            if key in references
        }


@dataclass(frozen=True)
class Experiment:
    """All results and trainings below one folder.

    Attributes:
        root: The folder.
        results: By condition, number of talkers, test set and system.
        runs: Training runs, by stage and system.
    """

    root: Path
    results: list[Result]
    runs: list[Run] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """The `score.json` of all results."""
        return [result.record for result in self.results]

    @property
    def systems(self) -> list[str]:
        """Scored systems in the order of all tables."""
        return sorted({result.system for result in self.results}, key=system_rank)

    @property
    def test_sets(self) -> dict[str, list[Result]]:
        """{test set: its results}, in the order of all tables."""
        sets: dict[str, list[Result]] = {}
        for result in self.results:
            sets.setdefault(result.record["test_set"], []).append(result)
        return sets


def read_experiment(root: Path) -> Experiment:
    """Reads every score, hypothesis and training log below a folder.

    Raises:
        UserError: There is no such folder, no score in it, or a file is malformed.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the experiment folder, such as exp")
    records = gather([root])
    folders = {}
    for path in root.rglob(NAME):
        record = read_record(path)
        folders[record["system"], record["test_set"]] = path.parent
    sets: dict[Path, TestSet] = {}
    results = []
    for record in records:
        folder = folders[record["system"], record["test_set"]]
        reference = Path(record["reference"])
        if reference not in sets:
            sets[reference] = read_test_set(record["test_set"], reference)
        results.append(
            Result(
                record,
                folder,
                sets[reference],
                optional_table(folder / "text"),
                optional_table(folder / "prompt"),
                read_json(speed, SPEED, "decode again") if (speed := folder / "speed.json").is_file() else {},
                quality.read_record(path) if (path := folder / quality.NAME).is_file() else {},
            )
        )
    return Experiment(root, results, read_runs(root))


def read_test_set(name: str, folder: Path) -> TestSet:
    """Reads what the report needs of a data directory; a table that is not there is empty.

    Args:
        name: Name of the test set.
        folder: Its data directory.

    Returns:
        The test set.
    """
    return TestSet(
        name,
        folder,
        optional_table(folder / "text"),
        optional_numbers(folder / "utt2overlap"),
        optional_numbers(folder / "utt2dur"),
    )


def optional_table(path: Path) -> dict[str, str]:
    """A Kaldi text file, empty where there is none."""
    return read_kaldi(path) if path.is_file() else {}


def optional_numbers(path: Path) -> dict[str, float]:
    """A Kaldi text file of numbers, empty where there is none."""
    numbers = {}
    for line, (key, value) in enumerate(optional_table(path).items(), 1):
        with contextlib.suppress(ValueError):
            numbers[key] = float(value)
        if not is_number(numbers.get(key)):
            raise UserError(f"{path}, line {line}: {value!r} is not a number; prepare the data again")
    return numbers
