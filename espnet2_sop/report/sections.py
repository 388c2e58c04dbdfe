"""Sections of the page that are tables: overview, prompts, speed, trainings, environment."""

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from espnet2_sop import __version__
from espnet2_sop.report.examples import main_pair
from espnet2_sop.report.experiment import Experiment, Result
from espnet2_sop.report.figures import Look
from espnet2_sop.report.markup import escape, note, rate_cell, system, table
from espnet2_sop.report.training_log import Run
from espnet2_sop.scoring.breakdown import summary
from espnet2_sop.scoring.prompt.correlation import spearman
from espnet2_sop.scoring.prompt.error_propagation import OUTCOMES
from espnet2_sop.scoring.record import compare_records
from espnet2_sop.scoring.tables.results import DASH, number, with_interval


def overview(experiment: Experiment, looks: dict[str, Look]) -> str:
    """Numbers of the experiment, its test sets, and the main system beside its rival."""
    sets = experiment.test_sets
    mixtures = sum(results[0].record["mixtures"] for results in sets.values())
    seconds = sum(sum(results[0].test_set.durations.values()) for results in sets.values())
    tiles = [
        (len(experiment.systems), "systems"),
        (len(sets), "test sets"),
        (mixtures, "test mixtures"),
        *([(f"{seconds / 3600:.2f} h", "of test audio")] if seconds else []),
        *([(len(experiment.runs), "trainings")] if experiment.runs else []),
    ]
    items = "".join(f"<li><b>{value}</b>{text}</li>" for value, text in tiles)
    return (
        f'<ul class="tiles">{items}</ul><div class="columns">{headline(experiment, looks)}{set_table(experiment)}</div>'
    )


def headline(experiment: Experiment, looks: dict[str, Look]) -> str:
    """cpWER of the main system and its rival on every test set that both have."""
    first, second = main_pair(experiment)
    rows = []
    for name, results in experiment.test_sets.items():
        records = {result.system: result.record for result in results}
        if {first, second} <= records.keys():
            difference = compare_records(records[first], records[second])
            cells = (with_interval(r["rate"], r["interval"]) for r in (cpwer(records[first]), cpwer(records[second])))
            rows.append([escape(name), *map(rate_cell, cells), rate_cell(str(difference)) if difference else DASH])
    if not rows:
        return ""
    text = "cpWER in percent with 95 % intervals; the difference is paired, negative: the first is better."
    header = ["test set", system(first, looks), system(second, looks), "difference"]
    return f'<div><h3>{escape(first)} and {escape(second)}</h3>{table(header, rows)}<p class="soft">{text}</p></div>'


def cpwer(record: dict[str, Any]) -> dict[str, Any]:
    """The cpWER of a `score.json`."""
    return record["metrics"]["cpwer"]


def set_table(experiment: Experiment) -> str:
    """What the test sets hold."""
    rows = []
    for name, results in experiment.test_sets.items():
        record, test_set = results[0].record, results[0].test_set
        talkers = sorted({row["talkers"][0] for row in record["per_mixture"].values()})
        overlap, durations = test_set.overlap.values(), test_set.durations.values()
        rows.append(
            [
                escape(name),
                escape(record["condition"]),
                ", ".join(map(str, talkers)),
                str(record["mixtures"]),
                str(cpwer(record)["words"]),
                f"{sum(durations) / 3600:.2f}" if durations else DASH,
                f"{sum(durations) / len(durations):.1f}" if durations else DASH,
                f"{sum(overlap) / len(overlap):.2f}" if overlap else DASH,
            ]
        )
    header = ["test set", "condition", "talkers", "mixtures", "words", "hours", "mean seconds", "mean overlap ratio"]
    missing = [name for name, results in experiment.test_sets.items() if not results[0].test_set.texts]
    warning = note(
        f"The data directory of {', '.join(missing)} is not where score.json says: no overlap and no examples of it."
    )
    return f"<div><h3>Test sets</h3>{table(header, rows)}{warning if missing else ''}</div>"


def prompts(experiment: Experiment, looks: dict[str, Look]) -> str:
    """How good the prompts are and what the LLM makes of them."""
    results = [result for result in experiment.results if result.prompt_errors]
    if not results:
        return note("No system here reads a prompt.")
    analysed = any(result.quality for result in results)
    header = ["system", "test set", "prompt cpWER", "final cpWER", "rank correlation"]
    header += [name.replace("_", " ") for name in OUTCOMES] * analysed
    rows = []
    for result in sorted(results, key=lambda result: experiment.systems.index(result.system)):
        rates = (summary(list(result.prompt_errors.values())), cpwer(result.record))
        rows.append(
            [
                system(result.system, looks),
                escape(result.test_set.name),
                *(rate_cell(with_interval(rate["rate"], rate["interval"])) for rate in rates),
                correlation(result),
                *([share(result, outcome) for outcome in OUTCOMES] if analysed else []),
            ]
        )
    text = (
        "Prompt and final output are scored alike. The rank correlation (Spearman) is that of their error rates over "
        "mixtures; a mixture that is hard for the heads is hard for the LLM, too."
    )
    if analysed:
        text += (
            " Of the reference words: kept is right in both, repaired is wrong in the prompt only, broken is wrong in "
            "the final output only; shares in percent, below them those of overlapped words."
        )
    return f'<p class="soft">{text}</p>{table(header, rows)}{onsets(results, experiment, looks)}'


def correlation(result: Result) -> str:
    """Spearman's rank correlation of the error rates of prompt and final output."""
    if known := result.quality.get("correlation", {}).get("spearman"):
        value, limits = known["value"], known["interval"]
    else:
        pairs = [(count.rate, result.errors[key]) for key, count in result.prompt_errors.items() if count.words]
        x, y = [rate for rate, _ in pairs], [errors / words for _, (errors, words) in pairs]
        value, limits = spearman(np.array([x, y], dtype=float)), None
    return rate_cell(with_interval(value, limits))


def share(result: Result, outcome: str) -> str:
    """Share of reference words with an outcome, of all words and of overlapped ones."""
    words = result.quality.get("words") or {}
    every, overlapped = ((words.get(region) or {}).get("shares", {}).get(outcome) for region in ("all", "overlapped"))
    return number(every) + (f'<span class="interval">{number(overlapped)}</span>' if overlapped is not None else "")


def onsets(results: Sequence[Result], experiment: Experiment, looks: dict[str, Look]) -> str:
    """Errors of the talkers' starts, where they were analysed."""
    columns = {
        "bias": "bias (ms)",
        "mean_absolute": "mean absolute (ms)",
        "percentile_90": "90 % below (ms)",
        "within_200_ms": "within 200 ms (%)",
        "missed": "talkers missed",
        "talkers": "of talkers",
    }
    rows = [
        [system(r.system, looks), escape(r.test_set.name), *(escape(error.get(name, DASH)) for name in columns)]
        for r in sorted(results, key=lambda result: experiment.systems.index(result.system))
        if (error := r.quality.get("onset_error"))
    ]
    return f"<h3>Onsets of talkers</h3>{table(['system', 'test set', *columns.values()], rows)}" if rows else ""


def speed(experiment: Experiment, looks: dict[str, Look]) -> str:
    """Real-time factors of all systems and test sets."""
    names = list(experiment.test_sets)
    rows = []
    for name in experiment.systems:
        speeds = {r.test_set.name: r.speed for r in experiment.results if r.system == name and r.speed}
        if speeds:
            machines = {s["gpu"] or f"CPU, threads: {s['threads']}" for s in speeds.values()}
            factors = [speeds.get(test_set, {}).get("real_time_factor") for test_set in names]
            cells = [DASH if factor is None else f"{factor:.4f}" for factor in factors]
            rows.append([system(name, looks), *cells, escape("; ".join(sorted(machines)))])
    if not rows:
        return note("No speed.json beside the hypotheses.")
    return table(["real-time factor", *map(escape, names), "machine"], rows)


def value_at(config: dict[str, Any], path: str) -> str:
    """A value of a configuration by its keys joined by dots; a dash where there is none."""
    value: Any = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None or value == []:
        return DASH
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def trainings(experiment: Experiment, looks: dict[str, Look]) -> str:
    """What was trained, from what, and for how long."""
    runs = [run for run in experiment.runs if run.epochs or run.config]
    missing = [name for name in experiment.systems if name not in {run.name for run in runs if run.epochs}]
    warning = note(f"No training log (train.log with finished epochs) for: {', '.join(missing)}.") if missing else ""
    if not runs:
        return warning
    columns = {
        "objective": "model_conf.objective",
        "trains": "model_conf.trainable",
        "encoder": "encoder_conf.pretrained",
        "LLM": "llm_conf.pretrained",
        "starts from": "init_param",
        "learning rate": "optim_conf.lr",
        "of parts": "lr_scale_conf",
        "batch bins": "batch_bins",
        "seed": "seed",
    }
    rows = [
        [
            system(run.name, looks),
            DASH if run.stage is None else str(run.stage),
            *(escape(value_at(run.config, path)) for path in columns.values()),
            escape(f"{run.details.get('trainable', DASH)} of {run.details.get('parameters', DASH)}"),
            str(max(run.epochs, default=DASH)),
            f"{max((parts.get('train', {}).get('updates', 0) for parts in run.epochs.values()), default=0):.0f}",
            escape(best(run)),
            duration(run.seconds),
        ]
        for run in runs
    ]
    header = ["training", "stage", *columns, "parameters", "epochs", "updates", "best", "time"]
    return f"<h3>Settings</h3>{table(header, rows)}{warning}"


def best(run: Run) -> str:
    """The value and epoch by which the checkpoints of a run were chosen."""
    for part, statistic, mode in run.config.get("best_model_criterion") or []:
        epochs, values = run.curve(part, statistic)
        if values:
            value = (max if mode == "max" else min)(values)
            return f"{part} {statistic} {value:.3f}, epoch {epochs[values.index(value)]}"
    return DASH


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def environment(experiment: Experiment) -> str:
    """Versions and machines."""

    def join(values: set[str]) -> str:
        return ", ".join(sorted(values - {DASH})) or DASH

    runs = experiment.runs
    gpus = {str(result.speed["gpu"]) for result in experiment.results if result.speed.get("gpu")}
    rows = [
        ("espnet2-sop, of this report", __version__),
        ("Python, of this report", platform.python_version()),
        ("ESPnet, of the trainings", join({value_at(run.config, "version") for run in runs})),
        ("PyTorch, of the trainings", join({run.details.get("torch", DASH) for run in runs})),
        (
            "GPU, of the trainings",
            join({{"True": "yes", "False": "no"}.get(r.details.get("cuda", ""), DASH) for r in runs}),
        ),
        ("GPU, of decoding", join(gpus) if gpus else "none"),
        ("normalisation of both sides", experiment.records[0]["normalization"]),
    ]
    return table(["what", "value"], [[escape(name), escape(value)] for name, value in rows], "plain")
