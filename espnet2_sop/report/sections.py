"""What the page says beside figures and examples: overview, results, prompts, speed, trainings, environment."""

import platform
from dataclasses import replace
from typing import Any

from espnet2_sop import __version__
from espnet2_sop.report.examples import main_pair
from espnet2_sop.report.experiment import Experiment
from espnet2_sop.report.training_log import Run
from espnet2_sop.scoring.prompt.summary import prompt_sections
from espnet2_sop.scoring.record import compare_records
from espnet2_sop.scoring.tables.breakdowns import breakdowns
from espnet2_sop.scoring.tables.markdown import DASH, Section, Table, difference, error_rate
from espnet2_sop.scoring.tables.results import result_sections, set_labels

SETTINGS = {  # of a training: name, place in config.yaml
    "objective": "model_conf.objective",
    "trains": "model_conf.trainable",
    "encoder": "encoder_conf.pretrained",
    "LLM": "llm_conf.pretrained",
    "starts from": "init_param",
    "learning rate": "optim_conf.lr",
    "learning rate of parts": "lr_scale_conf",
    "batch bins": "batch_bins",
    "seed": "seed",
}


def tiles(experiment: Experiment) -> list[tuple[int | str, str]]:
    """How much was scored and trained: numbers and what they count."""
    sets = experiment.test_sets
    mixtures = sum(results[0].record["mixtures"] for results in sets.values())
    seconds = sum(sum(results[0].test_set.durations.values()) for results in sets.values())
    return [
        (len(experiment.systems), "systems"),
        (len(sets), "test sets"),
        (mixtures, "test mixtures"),
        *([(f"{seconds / 3600:.2f} h", "of test audio")] if seconds else []),
        *([(len(experiment.runs), "trainings")] if experiment.runs else []),
    ]


def overview(experiment: Experiment) -> list[Section]:
    """The main system beside its rival, and the test sets."""
    return [section for section in (headline(experiment), test_sets(experiment)) if section]


def headline(experiment: Experiment) -> Section | None:
    """cpWER of the main system and its rival on every test set that both have; None where there is none."""
    first, second = main_pair(experiment)
    labels = set_labels(experiment.records)
    rows = []
    for name, results in experiment.test_sets.items():
        records = {result.system: result.record for result in results}
        if {first, second} <= records.keys():
            rates = (error_rate(records[system]["metrics"]["cpwer"]) for system in (first, second))
            rows.append([labels[name], difference(compare_records(records[first], records[second])), *rates])
    if not rows:
        return None
    note = "cpWER in percent with 95 % intervals; the difference is paired, negative: the first is better."
    return Section(f"{first} and {second}", [note], [Table(["test set", "difference", first, second], rows)])


def test_sets(experiment: Experiment) -> Section:
    """What the test sets hold."""
    rows = []
    for name, results in experiment.test_sets.items():
        record, test_set = results[0].record, results[0].test_set
        talkers = sorted({row["talkers"][0] for row in record["per_mixture"].values()})
        overlap, durations = test_set.overlap.values(), test_set.durations.values()
        rows.append([
            name,
            record["condition"],
            ", ".join(map(str, talkers)),
            str(record["mixtures"]),
            str(record["metrics"]["cpwer"]["words"]),
            f"{sum(durations) / 3600:.2f}" if durations else DASH,
            f"{sum(durations) / len(durations):.1f}" if durations else DASH,
            f"{sum(overlap) / len(overlap):.2f}" if overlap else DASH,
        ])  # fmt: skip
    header = ["test set", "condition", "talkers", "mixtures", "words", "hours", "mean seconds", "mean overlap ratio"]
    missing = [name for name, results in experiment.test_sets.items() if not results[0].test_set.texts]
    where = (
        f"The data directory of {', '.join(missing)} is not where score.json says: no overlap and no examples of it."
    )
    return Section("Test sets", [where] if missing else [], [Table(header, rows)])


test_sets.__test__ = False  # no test, whatever pytest makes of the name


def results(experiment: Experiment) -> list[Section]:
    """The sections of `RESULTS.md`, and `BREAKDOWN.md` to be looked up; what the test sets hold is in the overview."""
    records = experiment.records
    _, *sections = result_sections(records)
    parts = breakdowns(records, set_labels(records))
    tables = [replace(table, caption=part.title) for part in parts.sections for table in part.tables]
    return [*sections, Section(parts.title, parts.notes, tables, lookup=True)] if tables else sections


def prompts(experiment: Experiment) -> list[Section]:
    """How good the prompts are and what the LLM makes of them, as `espnet2-sop analyse` found."""
    read = [result for result in experiment.results if result.prompt_errors]
    if not read:
        return [Section("", ["No system here reads a prompt."])]
    rest = [f"{result.system} on {result.test_set.name}" for result in read if not result.quality]
    note = f"Not analysed: {', '.join(rest)}; run `espnet2-sop analyse` for the tables of their prompts."
    analysed = [result.quality for result in read if result.quality]
    return [*(prompt_sections(analysed) if analysed else []), *([Section("", [note])] if rest else [])]


def speed(experiment: Experiment) -> Section:
    """Real-time factors of all systems and test sets."""
    labels = set_labels(experiment.records)
    rows = []
    for name in experiment.systems:
        speeds = {r.test_set.name: r.speed for r in experiment.results if r.system == name and r.speed}
        if speeds:
            machines = {s["gpu"] or f"CPU, threads: {s['threads']}" for s in speeds.values()}
            factors = [speeds.get(test_set, {}).get("real_time_factor") for test_set in labels]
            cells = [DASH if factor is None else f"{factor:.4f}" for factor in factors]
            rows.append([name, *cells, "; ".join(sorted(machines))])
    if not rows:
        return Section("", ["No speed.json beside the hypotheses."])
    header = ["system", *labels.values(), "machine"]
    return Section("", tables=[Table(header, rows, "Real-time factor: seconds of decoding per second of audio")])


def trainings(experiment: Experiment) -> Section:
    """What was trained, from what, and for how long: a column for each training."""
    runs = [run for run in experiment.runs if run.epochs or run.config]
    missing = [name for name in experiment.systems if name not in {run.name for run in runs if run.epochs}]
    warning = f"No training log (train.log with finished epochs) for: {', '.join(missing)}."
    rows = {"stage": [DASH if run.stage is None else str(run.stage) for run in runs]}
    rows |= {name: [value_at(run.config, place) for run in runs] for name, place in SETTINGS.items()}
    rows |= {
        "parameters": [run.details.get("parameters", DASH) for run in runs],
        "of these trained": [run.details.get("trainable", DASH) for run in runs],
        "epochs": [str(max(run.epochs, default=DASH)) for run in runs],
        "updates": [f"{updates(run):.0f}" for run in runs],
        "best": [best(run) for run in runs],
        "time": [duration(run.seconds) for run in runs],
    }
    known = [[name, *cells] for name, cells in rows.items() if {*cells} - {DASH}]
    table = Table(["training", *(run.name for run in runs)], known if runs else [])
    return Section("Settings" if runs else "", [warning] if missing else [], [table])


def value_at(config: dict[str, Any], path: str) -> str:
    """A value of a configuration.

    Args:
        config: The configuration.
        path: Its keys, joined by dots.

    Returns:
        The value as text; a dash where there is none.
    """
    value: Any = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None or value in ([], {}):
        return DASH
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def updates(run: Run) -> float:
    """Updates of a training so far."""
    return max((parts.get("train", {}).get("updates", 0) for parts in run.epochs.values()), default=0)


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


def environment(experiment: Experiment) -> Section:
    """Versions and machines."""

    def join(values: set[str]) -> str:
        return ", ".join(sorted(values - {DASH})) or DASH

    runs = experiment.runs
    gpus = {str(result.speed["gpu"]) for result in experiment.results if result.speed.get("gpu")}
    on_gpu = {{"True": "yes", "False": "no"}.get(run.details.get("cuda", ""), DASH) for run in runs}
    rows = [
        ("espnet2-sop, of this report", __version__),
        ("Python, of this report", platform.python_version()),
        ("ESPnet, of the trainings", join({value_at(run.config, "version") for run in runs})),
        ("PyTorch, of the trainings", join({run.details.get("torch", DASH) for run in runs})),
        ("GPU, of the trainings", join(on_gpu)),
        ("GPU, of decoding", join(gpus) if gpus else "none"),
        ("normalisation of both sides", experiment.records[0]["normalization"]),
    ]
    return Section("", tables=[Table(["what", "value"], rows)])
