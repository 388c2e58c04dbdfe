"""The records of `prompt_quality` as a short Markdown text, a row for each system and test set."""

from collections.abc import Sequence
from typing import Any

from espnet2_sop.scoring.tables.results import DASH, markdown, number, with_interval

Record = dict[str, Any]
REGIONS = {"all": "all words", "overlapped": "overlapped", "single": "one talker at a time"}


def markdown_summary(records: Sequence[Record]) -> str:
    """Tables of error rates, words, bins of prompt quality and onsets."""
    parts = [
        "# Prompt and final text",
        "cpWER in percent with 95 % intervals, and correlation over mixtures of the two.",
        rate_table(records),
        "## Words: right or wrong in the prompt, right or wrong in the final text",
        "Percent of reference words. Repair rate and copy rate (the same mistake again) are of those wrong in the "
        "prompt, break rate is of those right in it; a control has not seen the prompt.",
        word_table(records),
        "## Final cpWER by that of the prompt",
        bin_table(records),
        "## Talkers' starts from the CTC peaks",
        "Milliseconds, positive is late; talkers of the reference without one in the prompt are missed.",
        onset_table(records),
    ]
    untimed = [label(record) for record in records if record["word_times"] is None]
    if untimed:
        note = "No word times (prompt.ctm), so no split by overlap; decode again with --overwrite for them"
        parts.append(f"{note}: {', '.join(untimed)}.")
    return "\n\n".join(parts)


def label(record: Record) -> str:
    """System and test set of an analysis."""
    return f"{record['system']} {record['test_set']}"


def versions(record: Record) -> list[tuple[str, Record]]:
    """The analysis of the system's own text, and that of its control's text, if there is one."""
    control = record["control"]
    return [(label(record), record)] + ([(f"  control {control['system']}", control)] if control else [])


def rate_table(records: Sequence[Record]) -> str:
    """cpWER of prompts and final texts, and their correlation over mixtures."""

    def correlation(part: Record, name: str) -> str:
        value, limits = (part["correlation"][name][key] for key in ("value", "interval"))
        return DASH if value is None else f"{value:.2f}" + (f" [{limits[0]:.2f}, {limits[1]:.2f}]" if limits else "")

    def cpwer(total: Record) -> str:
        return with_interval(total["rate"], total["interval"])

    return markdown(
        ["system, test set", "mixtures", "prompt", "final", "Pearson", "Spearman"],
        [
            [name, str(record["mixtures"]), cpwer(record["prompt"]), cpwer(part["final"]),
             correlation(part, "pearson"), correlation(part, "spearman")]
            for record in records for name, part in versions(record)
        ],
    )  # fmt: skip


def word_table(records: Sequence[Record]) -> str:
    """Shares of words by what became of them from the prompt to the final text."""

    def row(name: str, total: Record) -> list[str]:
        shares = [number(share) for share in total["shares"].values()]
        rates = [
            with_interval(total[rate], total["intervals"][rate]) for rate in ("repair_rate", "break_rate", "copy_rate")
        ]
        inserted = f"{total['inserted_kept'] + total['inserted_removed']} / {total['inserted_removed']}"
        return [name, str(total["words"]), *shares, *rates, inserted]

    rows = []
    for record in records:
        words = record["words"]
        parts = [row(f"{label(record)}, {REGIONS[k]}", words[k]) for k in REGIONS if words[k] and words[k]["words"]]
        control = [row(name, part["words"]["all"]) for name, part in versions(record)[1:]]
        rows += parts[:1] + control + parts[1:]
    header = ["system, test set", "words", "kept", "repaired", "broken", "still wrong", "repair rate", "break rate",
              "copy rate", "inserted / removed"]  # fmt: skip
    return markdown(header, rows)


def bin_table(records: Sequence[Record]) -> str:
    """cpWER of the final text by that of the prompt."""

    def title(row: Record) -> str:
        if row["high"] is None:
            return f"above {row['low']}"
        return str(row["high"]) if row["low"] == row["high"] else f"{row['low']} to {row['high']}"

    def cells(record: Record) -> list[list[str]]:
        control = record["control"] or {"by_prompt_quality": [None] * len(record["by_prompt_quality"])}
        return [
            [f"{label(record)}, {title(row)}", str(row["mixtures"]), str(row["words"]), number(row["prompt_rate"]),
             with_interval(row["final_rate"], row["final_interval"]),
             with_interval(other["final_rate"], other["final_interval"]) if other else DASH]
            for row, other in zip(record["by_prompt_quality"], control["by_prompt_quality"], strict=True)
        ]  # fmt: skip

    header = ["system, test set, cpWER of the prompt", "mixtures", "words", "prompt", "final", "control"]
    return markdown(header, [row for record in records for row in cells(record)])


def onset_table(records: Sequence[Record]) -> str:
    """Errors of the starts of talkers, read off the CTC peaks, in milliseconds."""

    def time(total: Record, name: str) -> str:
        if total[name] is None:
            return DASH
        limits = total["intervals"].get(name)
        return f"{total[name]:.0f}" + (f" [{limits[0]:.0f}, {limits[1]:.0f}]" if limits else "")

    def row(name: str, total: Record) -> list[str]:
        times = [time(total, key) for key in ("bias", "median", "mean_absolute", "percentile_90")]
        within = with_interval(total["within_200_ms"], total["intervals"]["within_200_ms"])
        return [name, str(total["talkers"]), str(total["missed"]), *times, within]

    rows = []
    for record in records:
        total = record["onset_error"]
        if total is None:
            rows.append([label(record), *[DASH] * 7])
            continue
        rows.append(row(label(record), total))
        rows += [
            row(f"{label(record)}, talker {slot}", part)
            for slot, part in total["by_slot"].items()
            if len(total["by_slot"]) > 1
        ]
    header = ["system, test set", "talkers", "missed", "bias", "median", "mean absolute", "90th percentile",
              "within 200 ms (%)"]  # fmt: skip
    return markdown(header, rows)
