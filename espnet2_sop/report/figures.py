"""Figures of the report: panels drawn with matplotlib, alone for the page and side by side for papers."""

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from espnet2_sop.io.files import atomic_path
from espnet2_sop.scoring.tables.systems import SYSTEMS

# Okabe and Ito, "Color Universal Design" (2008), for the systems of the table; Paul Tol's "muted" for their variants.
COLOURS = {
    "espnet_sot": "#7f7f7f",
    "espnet_sot_wavlm": "#000000",
    "ctc": "#009e73",
    "sot": "#56b4e9",
    "sot_continued": "#0072b2",
    "joint": "#cc79a7",
    "sop": "#d55e00",
}
MORE_COLOURS = ("#332288", "#999933", "#882255", "#44aa99", "#ddaa33", "#aa4499", "#117733", "#88ccee", "#cc6677")
MARKERS = "osD^vPX<>*hp"
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e4e4",
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "svg.hashsalt": "espnet2_sop",  # the same drawing gives the same file
    "text.parse_math": False,  # a `$` in a name is a `$`
}
PANEL = (3.9, 2.9)  # inches; on the page 96 pixels each
COLUMNS = 3
DPI = 200  # of PNG, and of what is pixels in SVG


@dataclass(frozen=True)
class Look:
    """How a system is drawn, everywhere."""

    colour: str
    marker: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: Its title.
        draw: Draws into the axes.
        size: Width and height in inches.
    """

    title: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = PANEL


@dataclass(frozen=True)
class Figure:
    """Panels that belong together.

    Attributes:
        name: Stem of its files.
        title: What it shows.
        caption: How to read it, one or two sentences.
        panels: At least one, all of one size.
        legend: Systems in the legend.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    legend: Sequence[str] = ()


def make_looks(systems: Iterable[str]) -> dict[str, Look]:
    """Colour and marker of every system; those of `COLOURS` are the same in every report."""
    looks: dict[str, Look] = {}
    others = 0
    for name in systems:
        if name in COLOURS:
            looks[name] = Look(COLOURS[name], MARKERS[list(SYSTEMS).index(name)])
        else:
            looks[name] = Look(MORE_COLOURS[others % len(MORE_COLOURS)], MARKERS[(others + 7) % len(MARKERS)])
            others += 1
    return looks


def upper_limit(values: Sequence[float]) -> float:
    """End of an axis of error rates in percent: all of them, or those up to 100 where others are far outside."""
    usual = [value for value in values if value <= 100]
    return 1.08 * max(usual if usual and max(values) > 1.5 * max(usual) else values, default=1) or 1.0


def name_outside(axes: Axes, outside: dict[str, float]) -> None:
    """Says above the axes which systems lie outside of them.

    Args:
        axes: The axes.
        outside: {system: its lowest value in percent}.
    """
    if outside:
        names = [f"{name}: {value:.0f} %" for name, value in outside.items()]
        text = names[0] if len(names) == 1 else f"{len(names)} systems"
        axes.set_title(f"{text}, outside", loc="right", fontsize=8, color="#555555")


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draws a panel with its title.

    Args:
        axes: Where to.
        panel: The panel.
    """
    panel.draw(axes)
    axes.set_title(panel.title)


def panel_svg(panel: Panel, prefix: str) -> str:
    """One panel as an `<svg>` element to stand in a page.

    Args:
        panel: The panel.
        prefix: Before all ids in it, so that panels do not share any.

    Returns:
        The element; the same drawing gives the same text.
    """
    file = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "none"}):
        canvas = Canvas(figsize=panel.size)
        draw_panel(canvas.subplots(), panel)
        canvas.savefig(file, format="svg", dpi=DPI, transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"\bid=\"", rf'id="{prefix}-', svg)
    return re.sub(r"(xlink:href=\"|url\()#", rf"\g<1>#{prefix}-", svg)


def save_figure(figure: Figure, looks: dict[str, Look], folder: Path) -> list[Path]:
    """Writes a figure with its legend as SVG and PNG.

    Args:
        figure: The figure.
        looks: Colour and marker of every system.
        folder: Where to.

    Returns:
        The files.
    """
    rows = math.ceil(len(figure.panels) / COLUMNS)
    columns = math.ceil(len(figure.panels) / rows)
    width, height = figure.panels[0].size
    written = []
    with matplotlib.rc_context(STYLE):
        space = 0.3 * math.ceil(len(figure.legend) / (2 * columns))
        canvas = Canvas(figsize=(columns * width, rows * height + space))
        grid = canvas.subplots(rows, columns, squeeze=False).flatten()
        for axes, panel in zip(grid, figure.panels, strict=False):
            draw_panel(axes, panel)
        for axes in grid[len(figure.panels) :]:
            axes.set_axis_off()
        if figure.legend:
            handles = [line_of(name, looks[name]) for name in figure.legend]
            canvas.legend(handles=handles, loc="outside lower center", ncols=2 * columns)
        for kind, options in (("svg", {"metadata": {"Date": None}}), ("png", {})):
            with atomic_path(folder / f"{figure.name}.{kind}") as part:
                canvas.savefig(part, format=kind, dpi=DPI, **options)
            written.append(folder / f"{figure.name}.{kind}")
    return written


def line_of(name: str, look: Look, **options: Any) -> Line2D:
    """A line as the legend shows it.

    Args:
        name: Name of the system.
        look: Its colour and marker.
        **options: Of the line.

    Returns:
        The line.
    """
    return Line2D([], [], color=look.colour, marker=look.marker, label=name, **options)
