"""The figure of prompts: errors of the final output against those of its prompt, beside the control."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from espnet2_sop.report.experiment import Experiment
from espnet2_sop.report.figures import Figure, Look, Panel, upper_limit
from espnet2_sop.report.lines import Lines, draw_lines
from espnet2_sop.scoring.prompt.quality import EDGES
from espnet2_sop.scoring.tables.markdown import SMALLEST_GROUP

Pairs = list[tuple[float, tuple[int, int]]]
"""Error rate of the prompt, and (errors, words) of a text, of each mixture"""


def prompt_figure(experiment: Experiment, systems: Sequence[str], looks: dict[str, Look]) -> Figure:
    """Errors of the final output against those of its prompt, a panel for each system that reads one.

    Args:
        experiment: What was scored.
        systems: Those to show.
        looks: Colour and marker of every system.

    Returns:
        The figure, without panels where no system reads a prompt. Shares of better and worse mixtures stand beside
        those of the control, which saw no prompt.
    """

    def draw(axes: Axes, pairs: Pairs, name: str, control: str | None) -> None:
        points = Counter((100 * prompt, 100 * (errors / words)) for prompt, (errors, words) in pairs)
        x, y = np.array(list(points)).T
        end = upper_limit([*x, *y])
        sizes = 9 * np.sqrt(list(points.values()))
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--")
        # as pixels: a thousand dots as vectors would make up most of the page
        axes.scatter(x, y, sizes, color=looks[name].colour, alpha=0.45, linewidth=0, rasterized=True)
        worse, better = changes(pairs)
        beside = ["", ""]
        if control:
            beside = [f" (control: {share:.0f} %)" for share in changes(prompted_pairs(experiment, name, control))]
        # in the corners that the diagonal leaves free
        style = {"transform": axes.transAxes, "fontsize": 8, "color": "#444444"}
        axes.text(0.02, 0.98, f"final worse: {worse:.0f} %{beside[0]}", va="top", **style)
        axes.text(0.98, 0.03, f"final better: {better:.0f} %{beside[1]}", ha="right", **style)
        if outside := sum(n for pair, n in points.items() if max(pair) > end):
            axes.text(0.98, 0.12, f"{outside} outside", ha="right", **style)
        start = -0.02 * end
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(start, end), ylim=(start, end))

    panels = []
    lines: Lines = {}
    controls: dict[str, str] = {}  # {control: the first system that it is beside}
    for name in systems:
        if pairs := prompted_pairs(experiment, name, name):
            control = control_of(experiment, name)
            panels.append(Panel(name, lambda axes, p=pairs, n=name, c=control: draw(axes, p, n, c)))
            lines[name] = quality_groups(pairs)
            if control and controls.setdefault(control, name) == name:
                lines[control] = quality_groups(prompted_pairs(experiment, name, control))

    def draw_groups(axes: Axes) -> None:
        draw_lines(axes, lines, looks)
        end = max(axes.get_xlim()[1], axes.get_ylim()[1])
        axes.plot([0, end], [0, end], color="#999999", linewidth=1, linestyle="--", zorder=0)
        axes.set(xlabel="prompt, cpWER (%)", ylabel="final output, cpWER (%)", xlim=(-0.02 * end, end), ylim=(0, end))

    if lines:
        panels.append(Panel("by quality of the prompt", draw_groups))
    caption = (
        "Every mixture of every test set, larger dots for several. Below the dashed line the final output has fewer "
        "errors than the prompt. By quality: mixtures whose prompt has no error, up to 10, 25, 50, 100 % and more."
    )
    for control, name in controls.items():
        caption += f" The control {control} saw no prompt (here that of {name}): only what goes beyond it is mended."
    return Figure("prompt", "Prompt against final output", caption, panels, list(lines))


def control_of(experiment: Experiment, system: str) -> str | None:
    """The system that wrote without the prompt of another one.

    Args:
        experiment: What was scored.
        system: The system with the prompt.

    Returns:
        The control of `espnet2-sop analyse`, otherwise `sot_continued`; None if it was not scored on the same sets.
    """
    own = [result for result in experiment.results if result.system == system and result.prompt_errors]
    named = [result.quality["control"]["system"] for result in own if result.quality.get("control")]
    control = named[0] if named else "sot_continued"
    scored = {result.test_set.name for result in experiment.results if result.system == control}
    return control if control != system and {result.test_set.name for result in own} <= scored else None


def changes(pairs: Pairs) -> tuple[float, float]:
    """Share of mixtures in percent where the text has more errors than the prompt, and where it has fewer."""
    if not pairs:
        return 0.0, 0.0
    worse = sum(errors / words > prompt for prompt, (errors, words) in pairs)
    better = sum(errors / words < prompt for prompt, (errors, words) in pairs)
    return 100 * worse / len(pairs), 100 * better / len(pairs)


def prompted_pairs(experiment: Experiment, system: str, writer: str) -> Pairs:
    """Errors of the prompts of a system beside those of a text.

    Args:
        experiment: What was scored.
        system: Whose prompts.
        writer: Whose text: the system itself, or its control.

    Returns:
        A pair for each mixture whose reference has words.
    """
    texts = {result.test_set.name: result.errors for result in experiment.results if result.system == writer}
    return [
        (prompt.errors / prompt.words, texts[result.test_set.name][key])
        for result in experiment.results
        if result.system == system and result.test_set.name in texts
        for key, prompt in result.prompt_errors.items()
        if prompt.words and key in texts[result.test_set.name]
    ]


def quality_groups(pairs: Pairs) -> list[tuple[float, list[tuple[int, int]]]]:
    """Mixtures by error rate of the prompt: the group's mean in percent, and the final outputs; small groups go."""
    groups: dict[int, list] = {}
    for rate, final in pairs:
        groups.setdefault(bisect_left(EDGES, 100 * rate), []).append((rate, final))
    return [
        (100 * float(np.mean([rate for rate, _ in group])), [final for _, final in group])
        for _, group in sorted(groups.items())
        if len(group) >= SMALLEST_GROUP
    ]
