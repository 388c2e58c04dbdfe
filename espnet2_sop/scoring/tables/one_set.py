"""The scores of one hypothesis: `score.md`, `score.csv`, and the line that `espnet2-sop score` prints."""

import csv
from pathlib import Path

from espnet2_sop.io.files import atomic_write
from espnet2_sop.scoring.breakdown import DIMENSIONS
from espnet2_sop.scoring.metrics import long_title, title
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.record import Record
from espnet2_sop.scoring.tables.breakdowns import group_cell
from espnet2_sop.scoring.tables.markdown import DASH, SMALLEST_GROUP, Cell, Document, Number, Section, Table, error_rate

COUNTS = tuple(ErrorCount.__dataclass_fields__)
METADATA = tuple(MixtureMetadata.__dataclass_fields__)
SHARES = ("count_accuracy", "right_order")


def summary_line(record: Record) -> str:
    """The scores of one set on one line; the counts are those of cpWER."""
    metrics = []
    for name, m in record["metrics"].items():
        counts = f" (S {m['substitutions']}, D {m['deletions']}, I {m['insertions']} of {m['words']} words)"
        metrics.append(f"{title(name)} {error_rate(m)}{counts * (name == 'cpwer')}")
    shares = [f"{title(name)} {Number(record[name])}" for name in SHARES]
    return f"{record['system']} {record['test_set']}, {record['mixtures']} mixtures: {', '.join([*metrics, *shares])}"


def confusion_section(confusion: dict[int, dict[int, int]]) -> Section:
    """Mixtures by talkers of the reference (rows) and of the hypothesis (columns)."""
    columns = sorted({hyp for row in confusion.values() for hyp in row})
    rows = [[str(ref), *(str(row.get(hyp, 0)) for hyp in columns)] for ref, row in confusion.items()]
    return Section(
        "Number of talkers", tables=[Table(["talkers, reference", *(f"hypothesis {hyp}" for hyp in columns)], rows)]
    )


def breakdown_sections(record: Record) -> list[Section]:
    """A section for every dimension with several groups: mixtures, cpWER with its counts, and the other metrics."""
    others = [metric for metric in record["metrics"] if metric != "cpwer"]
    sections = []
    for dimension, groups in record["breakdown"].items():
        if len(groups) < 2:  # the whole set
            continue
        names = [] if dimension == "slot" else [*others, *SHARES]
        rows: list[list[Cell]] = []
        for name, group in groups.items():
            values = [group[m] if m in SHARES else error_rate(group[m]).value for m in names]
            more = [Number(value) if group["mixtures"] >= SMALLEST_GROUP else DASH for value in values]
            counts = [str(group["cpwer"][count]) for count in COUNTS]
            rows.append([name, str(group["mixtures"]), group_cell(group), *more, *counts])
        header = [dimension.replace("_", " "), "mixtures", title("cpwer"), *map(title, names), *COUNTS]
        sections.append(Section(f"By {DIMENSIONS[dimension]}", tables=[Table(header, rows)]))
    return sections


def report(record: Record) -> Document:
    """The scores of one set as a document."""
    rows = [
        [long_title(name), error_rate(m), *(str(m[count]) for count in COUNTS)] for name, m in record["metrics"].items()
    ]
    shares = ", ".join(f"{title(name)} {Number(record[name])}" for name in SHARES)
    notes = [
        f"{record['mixtures']} mixtures; percent with 95 % bootstrap intervals; {shares}.",
        *(f"{title(name)} is left out: {reason}." for name, reason in record["left_out"].items()),
    ]
    if record["missing"]:
        notes.append(f"{len(record['missing'])} hypotheses are missing and counted as deletions.")
    sections = [
        Section("Metrics", tables=[Table(["metric", "rate", *COUNTS], rows)]),
        confusion_section(record["count_confusion"]),
        *breakdown_sections(record),
        Section(
            "Reading",
            items=[
                f"Parts with fewer than {SMALLEST_GROUP} mixtures have no rates; their counts are in the table.",
                "Counts beside cpWER are those of cpWER.",
                f"Normalisation of both sides: {record['normalization']}.",
            ],
        ),
    ]
    return Document(f"{record['system']} on {record['test_set']}", notes, sections)


def write_csv(path: Path, record: Record) -> None:
    """Writes one row for each mixture: talkers, its metadata, and the counts of every metric.

    Args:
        path: File to write.
        record: What `record.score` returned.
    """
    metrics = list(record["metrics"])
    with atomic_write(path) as f:
        table = csv.writer(f, lineterminator="\n")
        counts = [f"{metric}_{count}" for metric in metrics for count in COUNTS]
        table.writerow(["id", "talkers", "hypothesis_talkers", *METADATA, *counts])
        for key, row in record["per_mixture"].items():
            known = [row.get(name, "") for name in METADATA]
            table.writerow([key, *row["talkers"], *known, *(count for metric in metrics for count in row[metric])])


def write_report(path: Path, record: Record) -> None:
    """Writes the Markdown document.

    Args:
        path: File to write.
        record: What `record.score` returned.
    """
    with atomic_write(path) as f:
        f.write(str(report(record)))
