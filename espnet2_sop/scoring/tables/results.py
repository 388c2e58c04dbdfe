"""Scores of all systems and test sets: `results.json`, `results.csv`, `RESULTS.md` and `BREAKDOWN.md`."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.scoring.metrics import METRICS, long_title, title
from espnet2_sop.scoring.prompt.use import use_section, uses_of
from espnet2_sop.scoring.record import NAME, Record, compare_records, read_record
from espnet2_sop.scoring.tables.breakdowns import breakdowns
from espnet2_sop.scoring.tables.environment import environment
from espnet2_sop.scoring.tables.markdown import (
    DASH,
    Cell,
    Document,
    Number,
    Section,
    Table,
    difference,
    error_rate,
    plural,
)
from espnet2_sop.scoring.tables.systems import SYSTEMS, pairs_to_compare, rank, system_rank
from espnet2_sop.scoring.tables.trainings import find_configs, training_section

CONDITIONS = ("clean", "noisy")
MAIN = ("cpwer", "order_wer")  # metrics with a section and intervals of their own
COUNTS = ("substitutions", "deletions", "insertions", "words", "mixtures", "missing")
UNCORRECTED = (
    "{} comparisons; neither intervals nor stars are corrected for their number. An interval covers the choice of test "
    "mixtures; it does not cover another seed of training."
)


def gather(folders: Iterable[Path]) -> list[Record]:
    """Reads every `score.json` below the folders.

    Returns:
        The records, by condition, number of talkers, test set and system.

    Raises:
        UserError: There is none, two are of the same system and test set, or normalisations differ.
    """
    paths = sorted({path for folder in folders for path in folder.rglob(NAME)})
    if not paths:
        raise UserError(f"no {NAME} below {', '.join(map(str, folders))}; run `espnet2-sop score` first")
    seen: dict[tuple[str, str], Path] = {}
    records = []
    for path in paths:
        record = read_record(path)
        twin = seen.setdefault((record["system"], record["test_set"]), path)
        if twin != path:
            raise UserError(f"{path}: same system and test set as {twin}; score one of them with --system NAME")
        records.append(record)
    if len({record["normalization"] for record in records}) > 1:
        raise UserError("the scores were made with different text normalisations; score all of them again")
    return sorted(records, key=sort_key)


def sort_key(record: Record) -> tuple:
    """Order of all tables: condition, number of talkers, test set, system."""
    talkers = record["num_talkers"] or float("inf")
    return rank(record["condition"], CONDITIONS), talkers, record["test_set"], system_rank(record["system"])


def result_row(record: Record) -> Record:
    """One object of `results.json`: rates in percent, error and word counts are those of cpWER."""
    cpwer = record["metrics"]["cpwer"]
    return {
        **{key: record[key] for key in ("system", "test_set", "num_talkers", "condition", "mixtures")},
        **{metric: record["metrics"].get(metric, {}).get("rate") for metric in {**METRICS, **record["metrics"]}},
        "cpwer_interval": cpwer["interval"],
        **{key: cpwer[key] for key in ("errors", "words", "substitutions", "deletions", "insertions")},
        **{key: record[key] for key in ("count_accuracy", "right_order")},
        "missing": len(record["missing"]),
    }


def flat(row: Record) -> Record:
    """A result row for CSV: the interval in two columns."""
    low, high = row["cpwer_interval"] or (None, None)
    return {key: value for key, value in row.items() if key != "cpwer_interval"} | {
        "cpwer_low": low,
        "cpwer_high": high,
    }


def first_of_sets(records: Sequence[Record]) -> dict[str, Record]:
    """{test set: the record of its first system}, in the order of all tables."""
    sets: dict[str, Record] = {}
    for record in records:
        sets.setdefault(record["test_set"], record)
    return sets


def set_labels(records: Sequence[Record]) -> dict[str, str]:
    """{test set: heading of its column}: number of talkers and condition, with the set's name where two are alike."""
    labels = {
        name: f"{plural(record['num_talkers'], 'talker') if record['num_talkers'] else 'mixed'}, {record['condition']}"
        for name, record in first_of_sets(records).items()
    }
    known = list(labels.values())
    return {name: label if known.count(label) == 1 else f"{label}, {name}" for name, label in labels.items()}


def rate_table(records: Sequence[Record], metric: str, intervals: bool = False) -> Table:
    """One metric, a row for each system and a column for each test set.

    Args:
        records: The records of `gather`.
        metric: Its name.
        intervals: Whether to show 95 % intervals, and the lowest rate of each column in bold; without them the table
            has the metric as its caption.

    Returns:
        The table, without rows if no record has the metric.
    """
    totals = {(r["test_set"], r["system"]): r["metrics"][metric] for r in records if metric in r["metrics"]}
    totals = {place: total for place, total in totals.items() if total["rate"] is not None}
    of_sets: dict[str, list[float]] = {}
    for (test_set, _), total in totals.items():
        of_sets.setdefault(test_set, []).append(total["rate"])

    def cell(record: Record) -> Cell:
        if (total := totals.get((record["test_set"], record["system"]))) is None:
            return DASH
        rates = of_sets[record["test_set"]]
        if intervals:
            return error_rate(total, best=len(rates) > 1 and total["rate"] == min(rates))
        return Number(error_rate(total).value)

    return by_system(records, cell, "" if intervals else title(metric)) if totals else Table([], [])


def by_system(records: Sequence[Record], cell: Callable[[Record], Cell], caption: str = "") -> Table:
    """A row for each system and a column for each test set.

    Args:
        records: The records of `gather`.
        cell: Gives the cell of a record.
        caption: Of the table.

    Returns:
        The table, with dashes where a system was not scored on a test set.
    """
    labels = set_labels(records)
    cells = {(record["system"], record["test_set"]): cell(record) for record in records}
    systems = sorted({record["system"] for record in records}, key=system_rank)
    rows = [[name, *(cells.get((name, test_set), DASH) for test_set in labels)] for name in systems]
    return Table(["system", *labels.values()], rows, caption)


def comparisons(records: Sequence[Record]) -> Section | None:
    """Paired differences of cpWER, one row per pair of systems; None when no pair was scored."""
    cells = {(record["system"], record["test_set"]): record for record in records}
    labels = set_labels(records)
    systems = sorted({record["system"] for record in records}, key=system_rank)
    pairs = [(a, b) for a, b in pairs_to_compare(systems) if any({(a, s), (b, s)} <= cells.keys() for s in labels)]

    def cell(a: str, b: str, test_set: str) -> Cell:
        if not {(a, test_set), (b, test_set)} <= cells.keys():
            return DASH
        return difference(compare_records(cells[a, test_set], cells[b, test_set]))

    rows = [[f"{a} - {b}", *(cell(a, b, test_set) for test_set in labels)] for a, b in pairs]
    number = sum(isinstance(value, Number) for row in rows for value in row)
    if not number:
        return None
    notes = [
        "Difference of cpWER on the same mixtures in points, negative: the first is better; \\*: the 95 % interval "
        "excludes zero.",
        UNCORRECTED.format(number),
    ]
    return Section(
        "Paired comparisons: is a difference more than chance?", notes, [Table(["systems", *labels.values()], rows)]
    )


def main_sections(records: Sequence[Record]) -> list[Section]:
    """The questions that a paper answers: cpWER, order WER, paired comparisons, prompt use, talker counts.

    Args:
        records: The records of `gather`.

    Returns:
        The sections that have something to show.
    """
    sections = [
        Section(
            "cpWER: are all words with the right talker?",
            ["Percent with 95 % bootstrap intervals over mixtures; the lowest of each column in bold."],
            [rate_table(records, "cpwer", intervals=True)],
        ),
        Section(
            f"{long_title('order_wer')}: is the serialized text right?",
            ["The number to compare with papers on LibriMix. It forgives words on the wrong side of `<sc>`."],
            [rate_table(records, "order_wer", intervals=True)],
        ),
        comparisons(records),
        use_section(uses) if (uses := uses_of(records)) else None,
        Section(
            "Talkers: are they counted and ordered right?",
            ["Percent of mixtures."],
            [
                by_system(records, lambda r: Number(r["count_accuracy"]), "Count accuracy: as many as in reference"),
                by_system(records, lambda r: Number(r["right_order"]), "Right order: no other has fewer errors"),
            ],
        ),
    ]
    return [section for section in sections if section]


def set_section(records: Sequence[Record]) -> Section:
    """What the test sets hold."""
    labels = set_labels(records)
    rows = [
        [name, labels[name], str(r["mixtures"]), str(r["metrics"]["cpwer"]["words"]), r["reference_digest"]]
        for name, r in first_of_sets(records).items()
    ]
    header = ["test set", "in the tables", "mixtures", "words", "digest of ids and words"]
    return Section("Test sets", tables=[Table(header, rows)])


def further_section(records: Sequence[Record]) -> Section:
    """All other metrics, also those of users, a table for each."""
    metrics = dict.fromkeys(name for record in records for name in [*METRICS, *record["metrics"]])
    tables = [rate_table(records, name) for name in metrics if name not in MAIN]
    return Section("Further metrics", ["Percent."], tables)


def count_section(records: Sequence[Record]) -> Section:
    """The counts behind every cpWER."""
    rows = [
        [f"{row['test_set']}, {row['system']}", *(str(row[name]) for name in COUNTS)]
        for row in map(result_row, records)
    ]
    note = "Errors and reference words; `missing` hypotheses are counted as deletions."
    header = ["test set, system", *COUNTS]
    return Section("Counts behind cpWER", [note], [Table(header, rows)], lookup=True)


def definitions(records: Sequence[Record]) -> Section:
    """What systems, metrics and shares are."""
    scored = {record["system"] for record in records}
    items = [f"{name}: {text}." for name, text in SYSTEMS.items() if name in scored]
    items += [f"{title(name)}: {(metric.__doc__ or '').splitlines()[0]}." for name, metric in METRICS.items()]
    items += [
        "Rates: total errors over total reference words of the set.",
        "Decimals: one, and two where the interval is narrower than half a point; `results.json` has exact numbers.",
        f"Normalisation of both sides: {records[0]['normalization']}.",
    ]
    return Section("Definitions", items=items, lookup=True)


def result_sections(records: Sequence[Record]) -> list[Section]:
    """All sections of `RESULTS.md` but the environment."""
    parts = [set_section, further_section, count_section, definitions]
    first, *others = (part(records) for part in parts)
    return [first, *main_sections(records), *others]


def report(records: Sequence[Record], origin: dict[str, str], configs: Mapping[str, Path]) -> Document:
    """All tables as one document.

    Args:
        records: The records of `gather`.
        origin: Versions, machine and date, as `environment` gives them.
        configs: {training run: its config.yaml}.

    Returns:
        `RESULTS.md`.
    """
    items = [f"{key}: {value}" for key, value in origin.items()]
    runs = [training_section(configs)] if configs else []
    return Document("Results", (), [Section("Environment", items=items), *runs, *result_sections(records)])


def write_results(folders: Sequence[Path], out: Path) -> str:
    """Gathers all scores below `folders` and writes `results.json`, `results.csv`, `RESULTS.md` and `BREAKDOWN.md`.

    Args:
        folders: Where `score.json` files are looked for.
        out: Folder to write to.

    Returns:
        The text of `RESULTS.md`.
    """
    records = gather(folders)
    text, rows = (
        str(report(records, environment(folders), find_configs(folders))),
        [result_row(record) for record in records],
    )
    with atomic_write(out / "results.json") as f:
        f.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
    with atomic_write(out / "results.csv") as f:
        columns = list(dict.fromkeys(key for row in rows for key in flat(row)))  # a user's metric may be in some only
        table = csv.DictWriter(f, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(map(flat, rows))
    with atomic_write(out / "BREAKDOWN.md") as f:
        f.write(str(breakdowns(records, set_labels(records))))
    with atomic_write(out / "RESULTS.md") as f:
        f.write(text)
    return text
