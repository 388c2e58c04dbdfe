"""The records of `prompt.quality` as tables: what a prompt is worth, and what the LLM makes of it.

The tables show the control beside the system. A text that was written without the prompt also "repairs" and "breaks"
words of it; only the difference to this control is due to the prompt.
"""

from collections.abc import Sequence
from typing import Any

from espnet2_sop.scoring.prompt.error_propagation import OUTCOMES
from espnet2_sop.scoring.tables.markdown import DASH, SMALLEST_GROUP, Cell, Document, Number, Section, Table, error_rate

Record = dict[str, Any]
REGIONS = {"all": "all words", "overlapped": "overlapped", "single": "one talker at a time"}
RATES = ("repair_rate", "break_rate", "copy_rate")


def prompt_document(records: Sequence[Record]) -> Document:
    """What `espnet2-sop analyse` prints."""
    return Document("Prompt and final text", (), prompt_sections(records))


def prompt_sections(records: Sequence[Record]) -> list[Section]:
    """Error rates, words, bins of prompt quality and onsets, a section for each."""
    untimed = [label(record) for record in records if record["word_times"] is None]
    note = "No word times (prompt.ctm), so no split by overlap; decode again with --overwrite for them"
    return [
        Section(
            "How good are the prompts?",
            ["cpWER in percent with 95 % intervals, and correlation of the two error rates over mixtures. A mixture "
             "that is hard for the heads is also hard for the LLM: compare with the control, which saw no prompt."],
            [rate_table(records)],
        ),
        Section(
            "Does the LLM mend the prompt?",
            ["Percent of the reference words that are wrong in the prompt (repaired; copied: the same mistake again) "
             "or right in it (broken). The control saw no prompt: what it repairs and breaks is chance and difficulty, "
             "and only the difference to it is due to the prompt.",
             *([f"{note}: {', '.join(untimed)}."] if untimed else [])],
            [propagation_table(records), outcome_table(records)],
        ),
        Section(
            "Final cpWER by that of the prompt",
            [f"A dash for fewer than {SMALLEST_GROUP} mixtures."],
            [bin_table(records)],
        ),
        Section(
            "Onsets of the CTC heads",
            ["Time of a talker's first CTC peak less the true onset, in milliseconds; positive is late. Without the "
             "first talker, who starts with the mixture. Missed: talkers of the reference without one in the prompt."],
            [onset_table(records)],
        ),
    ]  # fmt: skip


def label(record: Record) -> str:
    """System and test set of an analysis."""
    return f"{record['system']}, {record['test_set']}"


def control_name(records: Sequence[Record]) -> str:
    """Heading of the control's columns: its name where all records have the same one."""
    names = {record["control"]["system"] for record in records if record["control"]}
    return f"control ({names.pop()})" if len(names) == 1 else "control"


def versions(record: Record) -> list[tuple[str, Record]]:
    """The analysis of the system's own text, and that of its control's text, if there is one."""
    control = record["control"]
    return [(label(record), record)] + ([(f"control {control['system']}", control)] if control else [])


def statistic(total: Record, name: str, decimals: int | None = None) -> Number:
    """A statistic of a record with its interval, if it has one.

    Args:
        total: The record, with "intervals".
        name: Key of the statistic.
        decimals: Digits behind the point; None: as the width of the interval allows.

    Returns:
        The cell of a table.
    """
    return Number(total[name], total["intervals"].get(name), decimals=decimals)


def rate_table(records: Sequence[Record]) -> Table:
    """cpWER of prompts, of final texts and of the control's texts, and the correlation over mixtures."""
    rows: list[list[Cell]] = []
    for record in records:
        for name, part in versions(record):
            found = (part["correlation"][kind] for kind in ("pearson", "spearman"))
            correlations = (Number(c["value"], c["interval"], decimals=2) for c in found)
            cells = [error_rate(record["prompt"]), error_rate(part["final"]), *correlations]
            rows.append([name, str(record["mixtures"]), *cells])
    return Table(["system, test set", "mixtures", "prompt", "final", "Pearson", "Spearman"], rows)


def parts_of_words(record: Record) -> list[tuple[str, Record, Record | None]]:
    """(name, words of the system, words of its control) of all words, and of parts that are neither all nor empty."""
    own, other = record["words"], (record["control"] or {}).get("words") or {}
    return [
        (f"{label(record)}: {text}", own[region], other.get(region))
        for region, text in REGIONS.items()
        if own[region] and own[region]["words"] and (region == "all" or own[region]["words"] < own["all"]["words"])
    ]


def propagation_table(records: Sequence[Record]) -> Table:
    """Rates of repaired, broken and copied words, each beside that of the control."""
    control = control_name(records)
    rows = [
        [name, *(cell for key in RATES for cell in (statistic(own, key), statistic(other, key) if other else DASH))]
        for record in records
        for name, own, other in parts_of_words(record)
    ]
    names = [part for key in RATES for part in (key.replace("_", " "), control)]
    return Table(["system, test set", *names], rows, "Rates")


def outcome_table(records: Sequence[Record]) -> Table:
    """Shares of words by what became of them from the prompt to the final text."""
    rows = [
        [name, str(own["words"]), *(Number(own["shares"][outcome]) for outcome in OUTCOMES),
         str(own["inserted_kept"] + own["inserted_removed"]), str(own["inserted_removed"])]
        for record in records
        for name, own, _ in parts_of_words(record)
    ]  # fmt: skip
    names = [outcome.replace("_", " ") for outcome in OUTCOMES]
    header = ["system, test set", "words", *names, "inserted by the prompt", "of these removed"]
    return Table(header, rows, "Shares of all reference words, and counts of inserted ones")


def bin_table(records: Sequence[Record]) -> Table:
    """cpWER of the final text and of the control's by that of the prompt."""

    def name_of(row: Record) -> str:
        if row["high"] is None:
            return f"above {row['low']}"
        return str(row["high"]) if row["low"] == row["high"] else f"{row['low']} to {row['high']}"

    def cells(row: Record, other: Record | None) -> list[Cell]:
        if row["mixtures"] < SMALLEST_GROUP:
            return [DASH] * 3
        final, control = (Number(part["final_rate"], part["final_interval"]) if part else DASH for part in (row, other))
        return [Number(row["prompt_rate"]), final, control]

    rows = []
    for record in records:
        own = record["by_prompt_quality"]
        others = record["control"]["by_prompt_quality"] if record["control"] else [None] * len(own)
        for row, other in zip(own, others, strict=True):
            counts = [str(row["mixtures"]), str(row["words"])]
            rows.append([f"{label(record)}: {name_of(row)}", *counts, *cells(row, other)])
    header = ["system, test set: cpWER of the prompt", "mixtures", "words", "prompt", "final", control_name(records)]
    return Table(header, rows)


def onset_table(records: Sequence[Record]) -> Table:
    """Errors of the onsets of the CTC heads in milliseconds, of every talker after the first."""
    rows = [
        [f"{label(record)}: talker {slot}", str(total["talkers"]), str(total["missed"]),
         *(statistic(total, name, 0) for name in ("bias", "median", "mean_absolute", "percentile_90")),
         statistic(total, "within_200_ms")]
        for record in records
        for slot, total in (record["onset_error"] or {"by_slot": {}})["by_slot"].items()
        if slot != "1"
    ]  # fmt: skip
    header = ["system, test set", "talkers", "missed", "bias", "median", "mean absolute", "90th percentile",
              "within 200 ms (%)"]  # fmt: skip
    return Table(header, rows)
