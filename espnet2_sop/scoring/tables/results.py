"""Scores of all systems and test sets as `results.json` and as Markdown."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.scoring.breakdown import DIMENSIONS, group_rank
from espnet2_sop.scoring.metrics import METRICS, title
from espnet2_sop.scoring.record import NAME, Record, compare_records, read_record
from espnet2_sop.scoring.tables.one_set import DASH, markdown, number, with_interval

SYSTEMS = {  # rows in this order, each before its variants NAME_...; others after them by name
    "espnet_sot": "ESPnet's own Conformer and Transformer from filterbanks to characters",
    "espnet_sot_wavlm": "the same from features of a frozen WavLM",
    "ctc": "the serialized CTC heads alone, no LLM (stage 2)",
    "sot": "the LLM from the speech (stage 1)",
    "sot_continued": "the same, trained on for as many updates as stage 3: the control",
    "joint": "the LLM from prompt and speech, all trained at once",
    "sop": "the LLM from prompt and speech (stage 3)",
}
CONDITIONS = ("clean", "noisy")
FURTHER = ("orc_wer", "ref_permutation_wer")  # metrics in a table of their own
COMPARISONS = tuple(("sop", other) for other in ("sot_continued", "sot", "ctc", "joint", "espnet_sot"))


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


def rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Sorts by place in `order`; what is not there follows by name."""
    return (order.index(name) if name in order else len(order), name)


def base_system(name: str) -> str | None:
    """The system of `SYSTEMS` that a name is or is a variant of: `sop_large` is one of `sop`."""
    return max((system for system in SYSTEMS if f"{name}_".startswith(f"{system}_")), key=len, default=None)


def system_rank(name: str) -> tuple[int, str]:
    """Sorts systems as `SYSTEMS`, variants behind their base."""
    return (rank(base_system(name) or name, tuple(SYSTEMS))[0], name)


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


def set_labels(rows: Sequence[Record]) -> dict[str, str]:
    """A short name for every test set of one condition: its number of talkers, with the set's name if needed."""
    talkers = {row["test_set"]: row["num_talkers"] for row in rows}
    labels = {}
    for test_set, count in talkers.items():
        label = f"{count} talker{'s' * (count > 1)}" if count else "mixed"
        labels[test_set] = label if list(talkers.values()).count(count) == 1 else f"{label}, {test_set}"
    return labels


def condition_table(rows: Sequence[Record]) -> str:
    """One row per system: cpWER of every test set, the lowest in bold; other scores of all sets in one cell each."""
    labels = set_labels(rows)
    cells = {(row["system"], row["test_set"]): row for row in rows}
    scores = ["order_wer", "slot_wer", "count_accuracy"]

    def cpwer(system: str, test_set: str) -> str:
        row = cells.get((system, test_set))
        if row is None or row["cpwer"] is None:
            return DASH
        rivals = [other["cpwer"] for other in rows if other["test_set"] == test_set]
        bold = "**" * (len(rivals) > 1 and row["cpwer"] == min(rate for rate in rivals if rate is not None))
        return bold + with_interval(row["cpwer"], row["cpwer_interval"]) + bold

    def others(system: str, score: str) -> str:
        return " / ".join(number(cells.get((system, test_set), {}).get(score)) for test_set in labels)

    systems = sorted({row["system"] for row in rows}, key=system_rank)
    return markdown(
        ["system", *(f"cpWER, {label}" for label in labels.values()), *map(title, scores)],
        [
            [name, *(cpwer(name, test_set) for test_set in labels), *(others(name, s) for s in scores)]
            for name in systems
        ],
    )


def pairs_to_compare(systems: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs to compare: `COMPARISONS`, and every variant with its base."""
    bases = ((system, base_system(system)) for system in systems)
    return [*COMPARISONS, *((name, base) for name, base in bases if base not in (None, name))]


def comparison_table(records: Sequence[Record]) -> str | None:
    """Paired differences of cpWER, one row per pair of systems; None when no pair was scored."""
    cells = {(record["system"], record["test_set"]): record for record in records}
    test_sets = list(dict.fromkeys(record["test_set"] for record in records))
    systems = sorted({record["system"] for record in records}, key=system_rank)
    pairs = [(a, b) for a, b in pairs_to_compare(systems) if any({(a, s), (b, s)} <= cells.keys() for s in test_sets)]

    def cell(a: str, b: str, test_set: str) -> str:
        if not {(a, test_set), (b, test_set)} <= cells.keys():
            return DASH
        difference = compare_records(cells[a, test_set], cells[b, test_set])
        return DASH if difference is None else str(difference)

    rows = [[f"{a} - {b}", *(cell(a, b, test_set) for test_set in test_sets)] for a, b in pairs]
    return markdown(["systems", *test_sets], rows) if pairs else None


def further_table(rows: Sequence[Record]) -> str:
    """The metrics that have no column in the tables of the conditions, one row per system, one cell per condition."""
    conditions = dict.fromkeys(row["condition"] for row in rows)
    cells = {(row["system"], row["test_set"]): row for row in rows}
    systems = sorted({row["system"] for row in rows}, key=system_rank)
    sets = {c: dict.fromkeys(row["test_set"] for row in rows if row["condition"] == c) for c in conditions}

    def cell(system: str, condition: str, metric: str) -> str:
        return " / ".join(number(cells.get((system, name), {}).get(metric)) for name in sets[condition])

    columns = [(metric, condition) for metric in FURTHER for condition in conditions]
    header = ["system", *(f"{title(metric)}, {condition}" for metric, condition in columns)]
    return markdown(header, [[name, *(cell(name, c, m) for m, c in columns)] for name in systems])


def breakdown_table(records: Sequence[Record], dimension: str) -> str | None:
    """cpWER by one dimension, one row per system and group, one column per test set; None if no set has two groups."""
    cells = {(r["system"], r["test_set"]): r["breakdown"].get(dimension, {}) for r in records}
    test_sets = list(dict.fromkeys(r["test_set"] for r in records if len(cells[r["system"], r["test_set"]]) > 1))
    rows = []
    for system in sorted({record["system"] for record in records}, key=system_rank):
        of_system = [cells.get((system, test_set), {}) for test_set in test_sets]
        for name in sorted({name for groups in of_system for name in groups}, key=group_rank):
            rows.append([f"{system}, {name}", *(group_cell(groups.get(name)) for groups in of_system)])
    return markdown([f"system, {dimension.replace('_', ' ')}", *test_sets], rows) if test_sets else None


def group_cell(group: Record | None) -> str:
    """cpWER of a group; surplus talkers have no reference words, only insertions (I)."""
    if group is None:
        return DASH
    cpwer = group["cpwer"]
    return with_interval(cpwer["rate"], cpwer["interval"]) if cpwer["words"] else f"I {cpwer['insertions']}"


def breakdowns(records: Sequence[Record]) -> str:
    """cpWER of parts of the test sets as one Markdown document."""
    parts = [
        "# cpWER of parts of the test sets",
        "Percent, with 95 % bootstrap intervals over mixtures; I: insertions.",
    ]
    for dimension, text in DIMENSIONS.items():
        if table := breakdown_table(records, dimension):
            parts += [f"## By {text}", table]
    return "\n\n".join(parts) + "\n"


def count_table(rows: Sequence[Record]) -> str:
    """The counts behind every cpWER."""
    rates = ("cpwer", "right_order")
    counts = ("substitutions", "deletions", "insertions", "words", "mixtures", "missing")
    return markdown(
        ["test set, system", *map(title, rates), *counts],
        [
            [f"{row['test_set']}, {row['system']}", *(number(row[k]) for k in rates), *(str(row[k]) for k in counts)]
            for row in rows
        ],
    )


def main_tables(records: Sequence[Record], level: str = "##") -> list[str]:
    """Headings and tables of all conditions and of the paired comparisons.

    Args:
        records: What `gather` read.
        level: The signs before a heading.
    """
    parts = ["Percent, with 95 % bootstrap intervals over mixtures; the lowest cpWER in bold."]
    rows = [result_row(record) for record in records]
    for condition in dict.fromkeys(row["condition"] for row in rows):
        block = [row for row in rows if row["condition"] == condition]
        order = f"Columns with several numbers: {' / '.join(set_labels(block).values())}."
        parts += [f"{level} {condition.capitalize()}", order, condition_table(block)]
    if comparisons := comparison_table(records):
        note = (
            "Difference of cpWER on the same mixtures, negative: the first is better; \\*: the interval excludes zero."
        )
        parts += [f"{level} Paired comparisons", note, comparisons]
    return parts


def report(records: Sequence[Record]) -> str:
    """All tables as one Markdown document."""
    rows, parts = [result_row(record) for record in records], ["# Results", *main_tables(records)]
    order = "; ".join(
        f"{condition}: {' / '.join(dict.fromkeys(r['test_set'] for r in rows if r['condition'] == condition))}"
        for condition in dict.fromkeys(row["condition"] for row in rows)
    )
    parts += ["## Further metrics", f"Order of the numbers: {order}.", further_table(rows)]
    note = "Errors and reference words; `missing` hypotheses are counted as deletions."
    parts += ["## Counts behind cpWER", note, count_table(rows), "## Definitions"]
    scored = {record["system"] for record in records}
    definitions = [f"{name}: {text}." for name, text in SYSTEMS.items() if name in scored]
    definitions += [f"{title(name)}: {(metric.__doc__ or '').splitlines()[0]}." for name, metric in METRICS.items()]
    definitions += [
        "Rates: total errors over total reference words of the set.",
        "count accuracy: share of mixtures with as many hypothesis talkers as reference talkers.",
        "right order: share of mixtures where no other order of the hypothesis talkers has fewer errors.",
        f"Normalisation of both sides: {records[0]['normalization']}.",
    ]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in definitions)]) + "\n"


def write_results(folders: Sequence[Path], out: Path) -> str:
    """Gathers all scores below `folders` and writes `results.json`, `results.csv`, `RESULTS.md` and `BREAKDOWN.md`.

    Returns:
        The text of `RESULTS.md`.
    """
    records = gather(folders)
    text, rows = report(records), [result_row(record) for record in records]
    with atomic_write(out / "results.json") as f:
        f.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
    with atomic_write(out / "results.csv") as f:
        columns = list(dict.fromkeys(key for row in rows for key in flat(row)))  # a metric of one's own may be in some
        table = csv.DictWriter(f, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(map(flat, rows))
    with atomic_write(out / "BREAKDOWN.md") as f:
        f.write(breakdowns(records))
    with atomic_write(out / "RESULTS.md") as f:
        f.write(text)
    return text
