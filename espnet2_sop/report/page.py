"""The report as one HTML file that needs nothing else, and its figures as files."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from espnet2_sop.io.files import atomic_write
from espnet2_sop.report.curves import curve_figures
from espnet2_sop.report.experiment import Experiment, read_experiment
from espnet2_sop.report.figures import Figure, Look, make_looks, panel_svg, save_figure
from espnet2_sop.report.gallery import gallery
from espnet2_sop.report.markup import escape, from_markdown, legend
from espnet2_sop.report.plots import score_figures
from espnet2_sop.report.sections import environment, overview, prompts, speed, trainings
from espnet2_sop.report.style import STYLE
from espnet2_sop.scoring.tables.results import report as results_text
from espnet2_sop.scoring.tables.results import system_rank

# Nothing is loaded and nothing runs, whatever the hypotheses say.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; img-src data:"


def write_report(root: Path, out: Path, plots: Path, examples: int) -> list[Path]:
    """Writes the report of an experiment.

    Args:
        root: Experiment folder with `score.json` files somewhere below.
        out: HTML file to write.
        plots: Folder for the figures as SVG and PNG.
        examples: Most examples.

    Returns:
        What was written, the page first.

    Raises:
        UserError: There is no such folder, no score in it, or a file is malformed.
    """
    experiment = read_experiment(root)
    names = sorted({*experiment.systems, *(run.name for run in experiment.runs)}, key=system_rank)
    looks = make_looks(names)
    figures = [*score_figures(experiment, looks), *curve_figures(experiment.runs, looks)]
    text = page(experiment, figures, looks, examples)
    with atomic_write(out) as f:
        f.write(text)
    return [out, *(path for figure in figures for path in save_figure(figure, looks, plots))]


def page(experiment: Experiment, figures: Sequence[Figure], looks: dict[str, Look], examples: int) -> str:
    """The whole page."""
    drawn = {figure.name: figure_html(figure, looks) for figure in figures}
    curves = "".join(drawn[figure.name] for figure in figures if figure.name.startswith("curves"))
    sections = {
        "Overview": overview(experiment, looks),
        "Results": drawn["cpwer"] + from_markdown(results_text(experiment.records), looks),
        "Overlap and talkers": drawn.get("overlap", "") + drawn.get("talkers", "") + drawn["counts"],
        "Prompts": drawn.get("prompt", "") + prompts(experiment, looks),
        "Examples": gallery(experiment, examples, looks),
        "Speed": drawn.get("speed", "") + speed(experiment, looks),
        "Training": curves + trainings(experiment, looks),
        "Environment": environment(experiment),
    }
    title = escape("/".join(experiment.root.resolve().parts[-3:]))
    links = "".join(f'<a href="#{anchor(name)}">{name}</a>' for name in sections)
    body = "\n".join(
        f'<section id="{anchor(name)}"><h2>{name}</h2>\n{content}</section>' for name, content in sections.items()
    )
    made = datetime.now().strftime("%Y-%m-%d %H:%M")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>
{STYLE}
</style></head><body>
<header><h1>{title}</h1><p class="soft">Multi-talker speech recognition, report of {made}</p><nav>{links}</nav></header>
<main>
{body}
</main>
<footer>Made by espnet2-sop report.</footer>
</body></html>
"""


def anchor(name: str) -> str:
    """The address of a section within the page."""
    return name.lower().replace(" ", "-")


def figure_html(figure: Figure, looks: dict[str, Look]) -> str:
    """A figure with heading, legend and caption; panels go on in the next line where the window is narrow."""
    panels = "\n".join(
        f'<div role="img" aria-label="{escape(figure.title)}: {escape(panel.title)}">'
        f"{panel_svg(panel, f'{figure.name}-{index}')}</div>"
        for index, panel in enumerate(figure.panels)
    )
    return (
        f'<figure id="figure-{figure.name}"><h3>{escape(figure.title)}</h3>{legend(figure.legend, looks)}\n'
        f'<div class="panels">{panels}</div><figcaption>{escape(figure.caption)}</figcaption></figure>\n'
    )
