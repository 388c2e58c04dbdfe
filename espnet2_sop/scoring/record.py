"""`score.json`: the scores of one hypothesis folder, written, read and compared.

Rates, intervals and shares are in percent. `per_mixture` holds, for every id, the number of talkers in reference and
hypothesis and [substitutions, deletions, insertions, words] of every metric.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_write, open_text, read_kaldi
from espnet2_sop.scoring.bootstrap import Difference, interval, paired_difference
from espnet2_sop.scoring.metrics import METRICS
from espnet2_sop.scoring.rates import ErrorCount, percent
from espnet2_sop.scoring.score import SetScore, name_ids, score_set
from espnet2_sop.text.serialized import NORMALIZATION

Record = dict[str, Any]
NAME = "score.json"
KEYS = (
    *("system", "test_set", "reference", "num_talkers", "condition", "mixtures", "missing", "normalization"),
    *("metrics", "count_accuracy", "count_confusion", "right_order", "per_mixture"),
)


def score_folder(ref: Path, hyp: Path, system: str | None = None, strict: bool = False) -> Record:
    """Scores a hypothesis folder against a data directory and writes `score.json` into it.

    Args:
        ref: Data directory with `text` and `info.json`; its name is the name of the test set.
        hyp: Folder `.../<system>/<test_set>` with `text`.
        system: Name of the system when it is not that of the folder above.
        strict: Refuse a set with missing hypotheses instead of counting them as deletions.

    Returns:
        What was written.

    Raises:
        UserError: A file is missing or malformed, or the ids do not fit.
    """
    references, hypotheses = read_kaldi(ref / "text"), read_kaldi(hyp / "text")
    try:
        score = score_set(references, hypotheses)
    except UserError as error:
        raise UserError(f"{hyp / 'text'}: {error}") from None
    if strict and score.missing:
        raise UserError(f"{hyp / 'text'}: {name_ids(score.missing)} without hypothesis; decode them or leave --strict")
    info = read_json(ref / "info.json", ("num_talkers", "condition"))
    if not isinstance(info["condition"], str):
        raise UserError(f"{ref / 'info.json'}: condition is {info['condition']!r}; name it, such as clean or noisy")
    record = {
        "system": system or Path(os.path.abspath(hyp)).parent.name,
        "test_set": Path(os.path.abspath(ref)).name,
        "reference": os.path.relpath(ref, hyp),
        "num_talkers": info["num_talkers"],
        "condition": info["condition"],
        "mixtures": len(score.counts),
        "missing": score.missing,
        "normalization": NORMALIZATION,
        "metrics": {metric: summary([count[metric] for count in score.counts.values()]) for metric in METRICS},
        "count_accuracy": percent(score.count_accuracy),
        "count_confusion": score.confusion,
        "right_order": percent(score.right_order),
    }
    write_record(hyp / NAME, record, score)
    return record


def summary(counts: Sequence[ErrorCount]) -> Record:
    """Total of one metric: rate and 95 % interval in percent, and the counts behind them."""
    total = sum(counts, ErrorCount())
    limits = interval([count.errors for count in counts], [count.words for count in counts])
    return {
        "rate": percent(total.rate),
        "interval": limits and [percent(limit) for limit in limits],
        "errors": total.errors,
        **asdict(total),
    }


def write_record(path: Path, record: Record, score: SetScore) -> None:
    """Writes the record for reading by eye: a line for every key, metric and mixture."""
    per_mixture = {
        key: {"talkers": score.talkers[key]} | {metric: [*asdict(count).values()] for metric, count in counts.items()}
        for key, counts in score.counts.items()
    }
    blocks = {"metrics": record["metrics"], "per_mixture": per_mixture}
    lines = {key: json.dumps(value, ensure_ascii=False) for key, value in record.items()}
    lines |= {key: json_lines(block, "  ") for key, block in blocks.items()}
    with atomic_write(path) as f:
        f.write("{\n" + ",\n".join(f' "{key}": {text}' for key, text in lines.items()) + "\n}\n")


def json_lines(block: dict[str, Any], indent: str) -> str:
    """A JSON object with one line for each of its keys."""
    rows = (f"{indent}{json.dumps(key, ensure_ascii=False)}: {json.dumps(row)}" for key, row in block.items())
    return "{\n" + ",\n".join(rows) + f"\n{indent[1:]}}}"


def read_json(path: Path, keys: Sequence[str]) -> Record:
    """Reads a JSON object that must have `keys`."""
    with open_text(path) as f:
        try:
            record = json.load(f)
        except ValueError as error:
            raise UserError(f"{path}: not JSON ({error}); write it again") from None
    if missing := [key for key in keys if not isinstance(record, dict) or key not in record]:
        raise UserError(f"{path}: no {', '.join(missing)}; write it again")
    return record


def read_record(path: Path) -> Record:
    """Reads a `score.json`.

    Raises:
        UserError: It is missing, malformed or was written by an older version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `espnet2-sop score` first")
    record = read_json(path, KEYS)
    if missing := [metric for metric in METRICS if metric not in record["metrics"]]:
        raise UserError(f"{path}: no {', '.join(missing)}; run `espnet2-sop score` again")
    return record


def compare_records(a: Record, b: Record, metric: str = "cpwer") -> Difference | None:
    """Rate of A minus rate of B, resampled over the same mixtures.

    Raises:
        UserError: There is no such metric, or the two were not scored alike on the same references.
    """
    if metric not in METRICS:
        raise UserError(f"no metric {metric!r}; one of: {', '.join(METRICS)}")
    names = f"{a['system']} and {b['system']} on {a['test_set']}"
    if a["test_set"] != b["test_set"]:
        raise UserError(f"{a['test_set']} and {b['test_set']} are different test sets; compare systems on one set")
    if a["normalization"] != b["normalization"]:
        raise UserError(f"{names}: scored with different normalisations; score both again")
    rows_a, rows_b = ({key: row[metric] for key, row in record["per_mixture"].items()} for record in (a, b))
    words = {key: row[-1] for key, row in rows_a.items()}
    if words != {key: row[-1] for key, row in rows_b.items()}:
        raise UserError(f"{names}: scored against different references; score both again")
    return paired_difference(
        [sum(rows_a[key][:3]) for key in words], [sum(rows_b[key][:3]) for key in words], list(words.values())
    )
