"""`score.json`: the scores of one hypothesis, written, read and compared.

Rates, intervals and shares are in percent. `per_mixture` holds, for every id, the number of talkers in reference and
hypothesis, [substitutions, deletions, insertions, words] of every metric and of every talker slot, and what is known
about the mixture: overlap ratio, onset gap and duration in seconds, condition.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.io.json_shapes import misfit, read_json
from espnet2_sop.scoring.bootstrap import Difference, paired_difference
from espnet2_sop.scoring.breakdown import break_down
from espnet2_sop.scoring.metrics import METRICS, Metric, title
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata, read_metadata
from espnet2_sop.scoring.rates import percent
from espnet2_sop.scoring.score import SetScore, name_ids, score_sessions
from espnet2_sop.scoring.transcripts import Session, read_transcripts, shown
from espnet2_sop.text.serialized import NORMALIZATION

Record = dict[str, Any]
NAME = "score.json"
UNKNOWN = "unspecified"  # condition of a reference without info.json
RATE = {
    "rate": (float, None),
    "interval": ([float, float], None),
    **dict.fromkeys(("errors", "substitutions", "deletions", "insertions", "words"), int),
}
SHAPE = {
    **dict.fromkeys(("system", "test_set", "reference", "hypothesis", "reference_digest"), str),
    **{"num_talkers": (int, None), "condition": str, "mixtures": int, "missing": [str], "left_out": {str: str}},
    **{"normalization": str, "metrics": {str: RATE}, "count_accuracy": (float, None), "right_order": (float, None)},
    "count_confusion": {str: {str: int}},
    "breakdown": {str: {str: {"mixtures": int, "cpwer": RATE}}},
    "per_mixture": {str: {"talkers": [int, int], "cpwer": [int, int, int, int]}},
}
AGAIN = "run `espnet2-sop score` again"


def score(
    ref: Path,
    hyp: Path,
    system: str | None = None,
    strict: bool = False,
    metrics: Mapping[str, Metric] = METRICS,
) -> Record:
    """Scores a hypothesis against a reference.

    Args:
        ref: Data directory with `text`, or a file (`transcripts.read_transcripts`); its name is that of the test set.
        hyp: Folder `.../<system>/<test_set>` with `text`, or a file `<system>.json` or `.stm`.
        system: Name of the system when it is another one.
        strict: Refuse a set with missing hypotheses instead of counting them as deletions.
        metrics: What is computed, by name.

    Returns:
        What `write_record` writes; paths are absolute.

    Raises:
        UserError: A file is missing or malformed, or the ids do not fit.
    """
    references, hypotheses = read_transcripts(ref), read_transcripts(hyp)
    source = hyp / "text" if hyp.is_dir() else hyp
    try:
        counted = score_sessions(references, hypotheses, metrics)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    if strict and counted.missing:
        raise UserError(f"{source}: {name_ids(counted.missing)} without hypothesis; decode them or leave --strict")
    info = read_info(ref, counted)
    metadata = read_metadata(ref, references, info["condition"])
    whole, parts = break_down(counted, metadata)
    return {
        "system": system or name_of(hyp.absolute().parent if hyp.is_dir() else hyp),
        "test_set": name_of(ref),
        "reference": os.path.abspath(ref),
        "hypothesis": os.path.abspath(hyp),
        "reference_digest": digest(references),
        "num_talkers": info["num_talkers"],
        "condition": info["condition"],
        "mixtures": len(counted.counts),
        "missing": counted.missing,
        "left_out": counted.left_out,
        "normalization": NORMALIZATION,
        "metrics": whole,
        "count_accuracy": percent(counted.count_accuracy),
        "count_confusion": counted.confusion,
        "right_order": percent(counted.right_order),
        "breakdown": parts,
        "per_mixture": {key: mixture_row(key, counted, metadata[key]) for key in counted.counts},
    }


def name_of(path: Path) -> str:
    """Name of a folder, or of a file without its endings: `ref.seglst.json` is `ref`."""
    return path.absolute().name if path.is_dir() or not path.suffix else path.name.split(".")[0]


def read_info(ref: Path, counted: SetScore) -> Record:
    """Number of talkers and condition of a set: `info.json` of a data directory, otherwise what the reference says.

    Args:
        ref: Data directory or file.
        counted: What was counted.

    Returns:
        "num_talkers" (None if it varies) and "condition".
    """
    path = ref / "info.json"
    if path.is_file() or (ref / "mixtures.jsonl").is_file():
        return read_json(path, {"num_talkers": (int, None), "condition": str}, "name it, such as clean or noisy")
    talkers = {talkers for talkers, _ in counted.talkers.values()}
    return {"num_talkers": talkers.pop() if len(talkers) == 1 else None, "condition": UNKNOWN}


def digest(references: dict[str, Session]) -> str:
    """Twelve hexadecimal digits, equal for references with the same ids and normalised words."""
    lines = "".join(f"{key} {shown(references[key])}\n" for key in sorted(references))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def mixture_row(key: str, counted: SetScore, metadata: MixtureMetadata) -> Record:
    """What was counted in one mixture and what is known about it.

    Args:
        key: Its id.
        counted: What was counted in all mixtures.
        metadata: Its metadata.

    Returns:
        Its row in `per_mixture` of `score.json`.
    """
    counts = {metric: [*asdict(count).values()] for metric, count in counted.counts[key].items()}
    slots = [[*asdict(count).values()] for count in counted.slots[key]]
    known = {name: value for name, value in asdict(metadata).items() if value is not None}
    return {"talkers": [*counted.talkers[key]], **counts, "slots": slots, **known}


def write_record(folder: Path, record: Record) -> Path:
    """Writes `score.json` for reading by eye: a line for every key, metric, group and mixture.

    Args:
        folder: Where to; the paths of reference and hypothesis are written relative to it.
        record: What `score` returned.

    Returns:
        The file.
    """
    record = record | {key: os.path.relpath(record[key], folder) for key in ("reference", "hypothesis")}
    lines = {key: json.dumps(value, ensure_ascii=False) for key, value in record.items()}
    lines |= {key: json_lines(record[key], "  ") for key in ("metrics", "per_mixture")}
    groups = {name: json_lines(rows, "   ") for name, rows in record["breakdown"].items()}
    lines["breakdown"] = "{\n" + ",\n".join(f'  "{name}": {text}' for name, text in groups.items()) + "\n }"
    with atomic_write(folder / NAME) as f:
        f.write("{\n" + ",\n".join(f' "{key}": {text}' for key, text in lines.items()) + "\n}\n")
    return folder / NAME


def json_lines(block: dict[str, Any], indent: str) -> str:
    """A JSON object with one line for each of its keys.

    Args:
        block: The object.
        indent: Before each line.

    Returns:
        Its text.
    """
    rows = (f"{indent}{json.dumps(key, ensure_ascii=False)}: {json.dumps(row)}" for key, row in block.items())
    return "{\n" + ",\n".join(rows) + f"\n{indent[1:]}}}"


def read_record(path: Path) -> Record:
    """Reads a `score.json`.

    Returns:
        The record, paths absolute.

    Raises:
        UserError: It is missing, malformed or was written by an older version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `espnet2-sop score` first")
    record = read_json(path, SHAPE, AGAIN)
    if missing := [m for m in METRICS if m not in record["metrics"].keys() | record["left_out"].keys()]:
        raise UserError(f"{path}: no {', '.join(missing)}; {AGAIN}")
    counted = [metric for metric in METRICS if metric in record["metrics"]]
    parts = [("per_mixture", {str: dict.fromkeys(counted, [int] * 4)}),
             ("breakdown", {name: {str: shape_of_group(name, counted)} for name in record["breakdown"]})]  # fmt: skip
    if problem := next(filter(None, (misfit(record[key], shape, key) for key, shape in parts)), None):
        raise UserError(f"{path}: {problem}; {AGAIN}")
    folder = os.path.abspath(path.parent)
    return record | {key: os.path.normpath(os.path.join(folder, record[key])) for key in ("reference", "hypothesis")}


def shape_of_group(dimension: str, metrics: Sequence[str]) -> dict[str, Any]:
    """Shape of a group of a breakdown; slots have nothing but cpWER.

    Args:
        dimension: The dimension.
        metrics: Names of the metrics that were computed.

    Returns:
        A shape for `misfit`.
    """
    if dimension == "slot":
        return {"cpwer": RATE}
    return {**dict.fromkeys(metrics, RATE), "count_accuracy": (float, None), "right_order": (float, None)}


def compare_records(a: Record, b: Record, metric: str = "cpwer") -> Difference | None:
    """Rate of A minus rate of B, resampled over the same mixtures.

    Args:
        a, b: Two records of one test set.
        metric: Name of the metric.

    Returns:
        The difference; None where the reference has no words.

    Raises:
        UserError: There is no such metric, or the two were not scored alike on the same references.
    """
    names = f"{a['system']} and {b['system']} on {a['test_set']}"
    for record in (a, b):
        if metric not in {**record["metrics"], **record["left_out"]}:
            raise UserError(f"{names}: no metric {metric!r}; one of: {', '.join(record['metrics'])}")
        if metric in record["left_out"]:
            raise UserError(f"{names}: {title(metric)} was left out ({record['left_out'][metric]})")
    if a["test_set"] != b["test_set"]:
        raise UserError(f"{a['test_set']} and {b['test_set']} are different test sets; compare systems on one set")
    if a["normalization"] != b["normalization"]:
        raise UserError(f"{names}: scored with different normalisations; score both again")
    rows_a, rows_b = ({key: row[metric] for key, row in record["per_mixture"].items()} for record in (a, b))
    words = {key: row[-1] for key, row in rows_a.items()}
    if a["reference_digest"] != b["reference_digest"] or rows_a.keys() != rows_b.keys():
        raise UserError(f"{names}: scored against different references; score both again")
    return paired_difference(
        [sum(rows_a[key][:3]) for key in words], [sum(rows_b[key][:3]) for key in words], list(words.values())
    )
