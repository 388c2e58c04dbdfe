"""Learning curves: the figures of training runs."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from espnet2_sop.report.figures import Figure, Look, Panel
from espnet2_sop.report.training_log import Run

STAGES = {
    0: "Stage 0: alignment",
    1: "Stage 1: SOT fine-tuning",
    2: "Stage 2: Separator and serialized CTC",
    3: "Stage 3: SOP adaptation and its control",
    None: "Baselines",
}
STATISTICS = {  # what ESPnet's reporter calls it: axis label, factor
    "loss": ("loss", 1),
    "loss_ce": ("cross entropy (nats per token)", 1),
    "loss_ctc": ("CTC loss (nats per slot)", 1),
    "loss_align": ("CTC loss of the alignment (nats per talker)", 1),
    "loss_stream": ("stream loss (squared error per slot)", 1),
    "acc": ("token accuracy (%)", 100),
    "ter": ("token error rate (%)", 100),
    "sop_error": ("token error rate of the prompt (%)", 100),
}
UNITS = {"sot": "nats per token", "sop": "nats per token", "ctc": "nats per slot"}  # of the loss of an objective
SLOT = "ter_spk"
SLOT_STYLES = ("-", "--", ":", "-.")
PARTS = {"train": "--", "valid": "-"}


def curve_figures(runs: Sequence[Run], looks: dict[str, Look]) -> Iterator[Figure]:
    """A figure for each stage with at least one finished epoch.

    Args:
        runs: Trainings, by stage.
        looks: Colour and marker of every system.

    Yields:
        The figures.
    """
    for stage, group in groupby([run for run in runs if run.epochs], key=lambda run: run.stage):
        trained = list(group)
        panels = [
            Panel(
                f"loss ({unit_of_loss(trained)})" if statistic == "loss" else label,
                lambda axes, s=statistic, f=factor, r=trained: draw_statistic(axes, r, s, f, looks),
            )
            for statistic, (label, factor) in STATISTICS.items()
            if any(run.curve(part, statistic)[0] for run in trained for part in PARTS)
        ]
        slots = sorted({name for run in trained for name in known(run, "valid") if name.startswith(SLOT)})
        if slots:
            panels.append(
                Panel(
                    "token error rate by talker, valid (%)",
                    lambda axes, r=trained, s=slots: draw_slots(axes, r, s, looks),
                )
            )
        name = "curves_baselines" if stage is None else f"curves_stage{stage}"
        caption = "Solid: valid, dashed: train (with dropout, in the course of the epoch)."
        yield Figure(name, STAGES.get(stage, f"Stage {stage}"), caption, panels, [run.name for run in trained])


def unit_of_loss(runs: Sequence[Run]) -> str:
    """Unit of the loss of several trainings; a loss of several parts, and that of ESPnet's baselines, is a sum."""
    units = set()
    for run in runs:
        parts = [name for name in known(run, "train") if name in ("loss_ce", "loss_ctc", "loss_align")]
        objective = (run.config.get("model_conf") or {}).get("objective")
        units.add("weighted sum of its parts" if parts or objective not in UNITS else UNITS[objective])
    return units.pop() if len(units) == 1 else "nats per token, or a weighted sum of parts"


def known(run: Run, part: str) -> set[str]:
    """Statistics of a training that any epoch has.

    Args:
        run: The training.
        part: "train" or "valid".

    Returns:
        Their names.
    """
    return {name for values in run.epochs.values() for name in values.get(part, {})}


def draw_statistic(axes: Axes, runs: Sequence[Run], statistic: str, factor: float, looks: dict[str, Look]) -> None:
    """Draws one statistic of all runs, train and valid.

    Args:
        axes: Where to.
        runs: The trainings.
        statistic: Its name in the log.
        factor: From its value to what the axis shows.
        looks: Colour and marker of every system.
    """
    for run in runs:
        look = looks[run.name]
        for part, style in PARTS.items():
            epochs, values = run.curve(part, statistic)
            marker = look.marker if part == "valid" or len(epochs) == 1 else None
            axes.plot(epochs, [factor * v for v in values], style, color=look.colour, marker=marker, markersize=3.5)
    finish(axes)


def draw_slots(axes: Axes, runs: Sequence[Run], slots: Sequence[str], looks: dict[str, Look]) -> None:
    """Draws the token error rate of each talker slot on the validation set.

    Args:
        axes: Where to.
        runs: The trainings.
        slots: Names of the statistics, one for each slot.
        looks: Colour and marker of every system.
    """
    for run in runs:
        for slot, style in zip(slots, SLOT_STYLES * len(slots), strict=False):
            epochs, values = run.curve("valid", slot)
            axes.plot(epochs, [100 * value for value in values], style, color=looks[run.name].colour)
    finish(axes)
    handles = [
        Line2D([], [], color="#444444", linestyle=style, label=f"talker {slot.removeprefix(SLOT)}")
        for slot, style in zip(slots, SLOT_STYLES * len(slots), strict=False)
    ]
    axes.legend(handles=handles, fontsize=8)


def finish(axes: Axes) -> None:
    """Whole epochs below a curve."""
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
