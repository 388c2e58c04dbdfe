"""The scores of one hypothesis as Markdown, as CSV and on one line."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet2_sop.io.files import atomic_write
from espnet2_sop.scoring.breakdown import DIMENSIONS
from espnet2_sop.scoring.metrics import title
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.record import Record

DASH = "–"
COUNTS = tuple(ErrorCount.__dataclass_fields__)
METADATA = tuple(MixtureMetadata.__dataclass_fields__)


def number(rate: float | None) -> str:
    """A rate in percent with two decimals; a dash where there is none."""
    return DASH if rate is None else f"{rate:.2f}"


def with_interval(rate: float | None, limits: Sequence[float] | None) -> str:
    """A rate in percent with its 95 % interval: `12.34 [11.20, 13.51]`."""
    return number(rate) + (f" [{limits[0]:.2f}, {limits[1]:.2f}]" if limits else "")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with columns padded to equal width, numbers to the right."""
    cells = [header, *rows]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    first, *others = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, rule, *others))


def summary_line(record: Record) -> str:
    """The scores of one set on one line; the counts are those of cpWER."""
    metrics = []
    for name, m in record["metrics"].items():
        counts = f" (S {m['substitutions']}, D {m['deletions']}, I {m['insertions']} of {m['words']} words)"
        metrics.append(f"{title(name)} {with_interval(m['rate'], m['interval'])}{counts * (name == 'cpwer')}")
    shares = [f"{title(name)} {number(record[name])}" for name in ("count_accuracy", "right_order")]
    return f"{record['system']} {record['test_set']}, {record['mixtures']} mixtures: {', '.join([*metrics, *shares])}"


def confusion_table(confusion: dict[int, dict[int, int]]) -> str:
    """Mixtures by talkers of the reference (rows) and of the hypothesis (columns)."""
    columns = sorted({hyp for row in confusion.values() for hyp in row})
    rows = [[str(ref), *(str(row.get(hyp, 0)) for hyp in columns)] for ref, row in confusion.items()]
    return markdown(["talkers, reference", *(f"hypothesis {hyp}" for hyp in columns)], rows)


def breakdown_tables(record: Record) -> list[str]:
    """A heading and a table for every dimension with several groups: cpWER with its counts, and the other metrics."""
    others = [metric for metric in record["metrics"] if metric != "cpwer"]
    parts = []
    for dimension, groups in record["breakdown"].items():
        if len(groups) < 2:  # the whole set
            continue
        names = [] if dimension == "slot" else [*others, "count_accuracy", "right_order"]
        rows = []
        for name, group in groups.items():
            cpwer = group["cpwer"]
            counts = [str(group["mixtures"]), *(str(cpwer[count]) for count in COUNTS)]
            more = [number(group[m] if m in ("count_accuracy", "right_order") else group[m]["rate"]) for m in names]
            rows.append([name, with_interval(cpwer["rate"], cpwer["interval"]), *more, *counts])
        header = [dimension.replace("_", " "), title("cpwer"), *map(title, names), "mixtures", *COUNTS]
        parts += [f"## By {DIMENSIONS[dimension]}", markdown(header, rows)]
    return parts


def report(record: Record) -> str:
    """One set as a Markdown document."""
    rows = [
        [title(name), with_interval(m["rate"], m["interval"]), *(str(m[count]) for count in COUNTS)]
        for name, m in record["metrics"].items()
    ]
    shares = ", ".join(f"{title(name)} {number(record[name])}" for name in ("count_accuracy", "right_order"))
    notes = [f"{title(name)} is left out: {reason}." for name, reason in record["left_out"].items()]
    if record["missing"]:
        notes.append(f"{len(record['missing'])} hypotheses are missing and counted as deletions.")
    parts = [
        f"# {record['system']} on {record['test_set']}",
        f"{record['mixtures']} mixtures; percent with 95 % bootstrap intervals; {shares}.",
        *notes,
        markdown(["metric", "rate", *COUNTS], rows),
        "## Number of talkers",
        confusion_table(record["count_confusion"]),
        *breakdown_tables(record),
        f"Counts beside cpWER are those of cpWER. Normalisation of both sides: {record['normalization']}.",
    ]
    return "\n\n".join(parts) + "\n"


def write_csv(path: Path, record: Record) -> None:
    """Writes one row for each mixture: talkers, what is known about it and the counts of every metric."""
    metrics = list(record["metrics"])
    with atomic_write(path) as f:
        table = csv.writer(f, lineterminator="\n")
        counts = [f"{metric}_{count}" for metric in metrics for count in COUNTS]
        table.writerow(["id", "talkers", "hypothesis_talkers", *METADATA, *counts])
        for key, row in record["per_mixture"].items():
            known = [row.get(name, "") for name in METADATA]
            table.writerow([key, *row["talkers"], *known, *(count for metric in metrics for count in row[metric])])


def write_report(path: Path, record: Record) -> None:
    """Writes the Markdown document."""
    with atomic_write(path) as f:
        f.write(report(record))
