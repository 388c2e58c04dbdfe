"""The report as one HTML file that needs nothing else, and its figures as files."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup, escape
from matplotlib.markers import MarkerStyle

from espnet2_sop.io.files import atomic_write
from espnet2_sop.report import sections
from espnet2_sop.report.curves import curve_figures
from espnet2_sop.report.experiment import Experiment, read_experiment
from espnet2_sop.report.figures import Figure, Look, Panel, make_looks, panel_svg, save_figure
from espnet2_sop.report.gallery import gallery
from espnet2_sop.report.plots import score_figures
from espnet2_sop.scoring.tables.systems import system_rank

THEME = {  # colours of the figures that the style sheet has for light and dark pages
    **{"#000000": "--ink", "#444444": "--soft", "#555555": "--soft", "#666666": "--soft", "#e4e4e4": "--line"},
    **{"#332288": "--indigo", "#882255": "--wine", "#117733": "--green"},
}


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
    """The page, from the templates beside this file.

    Args:
        experiment: What was read.
        figures: All figures.
        looks: Colour and marker of every system.
        examples: Most examples.

    Returns:
        HTML.
    """
    return (
        templates()
        .get_template("page.html")
        .render(
            title="/".join(experiment.root.resolve().parts[-3:]),
            made=datetime.now().strftime("%Y-%m-%d %H:%M"),
            figures={figure.name: figure for figure in figures},
            looks=looks,
            tiles=sections.tiles(experiment),
            overview=sections.overview(experiment),
            results=sections.results(experiment),
            prompts=sections.prompts(experiment),
            examples=gallery(experiment, examples),
            speed=sections.speed(experiment),
            training=sections.trainings(experiment),
            environment=sections.environment(experiment),
        )
    )


def templates() -> jinja2.Environment:
    """The templates; what they show is escaped, and a name that they do not know is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("espnet2_sop.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"inline": inline, "outline": outline, "svg": svg, "themed": themed}
    return found


def inline(text: str) -> Markup:
    """Markdown within a line as HTML: bold, code, escaped stars."""
    shown = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", shown).replace("\\*", "*"))


def svg(panel: Panel, prefix: str) -> Markup:
    """A panel as an `<svg>` element.

    Args:
        panel: What to draw; matplotlib escapes its text.
        prefix: Before all ids in it.

    Returns:
        HTML.
    """
    return Markup(themed(panel_svg(panel, prefix)))


def themed(style: str) -> str:
    """Colours that are hard to see on dark pages become names of the style sheet."""
    return re.sub("|".join(THEME), lambda found: f"var({THEME[found[0]]})", style)


def outline(look: Look) -> str:
    """The corners of a system's marker in a box of 22 by 12 pixels, as SVG has them."""
    style = MarkerStyle(look.marker)
    corners = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    size = 4.0 / max(abs(corners).max(), 0.01)
    return " ".join(f"{11 + size * x:.1f},{6 - size * y:.1f}" for x, y in corners)
