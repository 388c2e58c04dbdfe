"""cpWER of parts of the test sets: `BREAKDOWN.md`."""

from collections.abc import Mapping, Sequence

from espnet2_sop.scoring.breakdown import DIMENSIONS, SURPLUS, group_rank
from espnet2_sop.scoring.record import Record
from espnet2_sop.scoring.tables.markdown import DASH, SMALLEST_GROUP, Cell, Document, Section, Table, error_rate
from espnet2_sop.scoring.tables.systems import system_rank

NOTES = (
    f"Percent, with 95 % bootstrap intervals over mixtures; a dash for fewer than {SMALLEST_GROUP} mixtures.",
    f"{SURPLUS}: hypothesis talkers without a partner, which have insertions only; 16 in 12: 16 words in 12 mixtures.",
)


def breakdowns(records: Sequence[Record], labels: Mapping[str, str]) -> Document:
    """cpWER of parts of the test sets.

    Args:
        records: Scores of all systems and test sets, in the order of all tables.
        labels: {test set: its name in the table}.

    Returns:
        A section for each dimension in which a test set has several groups.
    """
    sections = [
        Section(f"By {text}", tables=[table])
        for dimension, text in DIMENSIONS.items()
        if (table := breakdown_table(records, labels, dimension)).rows
    ]
    return Document("cpWER of parts of the test sets", NOTES, sections)


def breakdown_table(records: Sequence[Record], labels: Mapping[str, str], dimension: str) -> Table:
    """cpWER by one dimension.

    Args:
        records: Scores of all systems and test sets.
        labels: {test set: its name in the table}.
        dimension: A key of `DIMENSIONS`.

    Returns:
        A row for each test set and group, a column for each system; no rows where no test set has two groups.
    """
    systems = sorted({record["system"] for record in records}, key=system_rank)
    rows = []
    for test_set, label in labels.items():
        of_set = {r["system"]: r["breakdown"].get(dimension, {}) for r in records if r["test_set"] == test_set}
        names = sorted({name for groups in of_set.values() for name in groups}, key=group_rank)
        if len(names) < 2:  # the whole set
            continue
        for name in names:
            groups = [of_set.get(system, {}).get(name) for system in systems]
            sizes = {group["mixtures"] for group in groups if group}
            size = str(sizes.pop()) if name != SURPLUS and len(sizes) == 1 else DASH
            rows.append([f"{label}: {name}", size, *map(group_cell, groups)])
    return Table([f"test set: {dimension.replace('_', ' ')}", "mixtures", *systems], rows)


def group_cell(group: Record | None) -> Cell:
    """cpWER of a group; a dash where it is small, insertions where it has no reference words."""
    if group is None:
        return DASH
    cpwer = group["cpwer"]
    if not cpwer["words"]:
        return f"{cpwer['insertions']} in {group['mixtures']}"
    return error_rate(cpwer) if group["mixtures"] >= SMALLEST_GROUP else DASH
