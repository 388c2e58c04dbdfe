"""Pieces of HTML. What comes from files passes `escape`; everything else here returns HTML."""

import html
import re
from collections.abc import Iterable, Sequence

from matplotlib.markers import MarkerStyle

from espnet2_sop.report.figures import Look

RATE = re.compile(r"(\*\*)?([+-]?\d+\.\d+) (\[[^\]]+\])( \*)?(\*\*)?")
FOLDED = ("Counts", "Definitions")  # how sections begin that are there to be looked up


def escape(text: object) -> str:
    """Text as HTML that shows it, in content and in attribute values."""
    return html.escape(str(text), quote=True)


def mark(look: Look) -> str:
    """The line and marker of a system, as in the figures; what follows it stays on its line (U+2060)."""
    style = MarkerStyle(look.marker)
    outline = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    size = 4.0 / max(abs(outline).max(), 0.01)
    points = " ".join(f"{11 + size * x:.1f},{6 - size * y:.1f}" for x, y in outline)
    return (
        f'<svg class="key" width="22" height="12" aria-hidden="true"><path d="M0 6H22" stroke="{look.colour}" '
        f'stroke-width="2"/><polygon points="{points}" fill="{look.colour}"/></svg>\u2060'
    )


def system(name: str, looks: dict[str, Look]) -> str:
    """Name of a system behind its line and marker; any other text as it is."""
    return f'<span class="system">{mark(looks[name])}{escape(name)}</span>' if name in looks else escape(name)


def legend(names: Iterable[str], looks: dict[str, Look]) -> str:
    """Systems with their marks as an HTML list; nothing without systems."""
    items = "".join(f"<li>{system(name, looks)}</li>" for name in names)
    return f'<ul class="legend">{items}</ul>' if items else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table in a box that scrolls; cells are HTML."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    name = f' class="{kind}"' if kind else ""
    return f'<div class="scroll"><table{name}><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def note(text: str) -> str:
    """A paragraph in small print; the text is escaped."""
    return f'<p class="note">{escape(text)}</p>'


def rate_cell(text: str) -> str:
    """A cell of a table of results: its interval in a line of its own, significant differences in colour."""
    found = RATE.fullmatch(text)
    if not found:
        return inline(text)
    _, rate, limits, star, _ = found.groups()
    shown = f"<b>{rate}</b>" if found[1] else rate
    if star:
        kind, word = ("better", "better") if rate.startswith("-") else ("worse", "worse")
        shown = f'<span class="{kind}" title="{word}: the interval excludes zero">{rate} *</span>'
    return f'{shown}<span class="interval">{limits}</span>'


def inline(text: str) -> str:
    """Markdown within a line: bold, code, escaped stars."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return text.replace("\\*", "*")


def from_markdown(text: str, looks: dict[str, Look]) -> str:
    """The Markdown of `scoring.tables.results` as HTML: headings, paragraphs, tables and lists.

    Args:
        text: Blocks separated by empty lines. The title (`#`) is left out, sections (`##`) come as `<h3>`.
        looks: Systems that are marked at the start of a row.
    """
    parts: list[str] = []
    folded = ""  # what ends a section that is folded
    for block in text.strip().split("\n\n"):
        if block.startswith("# "):
            continue
        if block.startswith("## "):
            parts.append(folded)
            title = inline(block[3:])
            folded = "</details>" if block[3:].startswith(FOLDED) else ""
            parts.append(f"<details><summary>{title}</summary>" if folded else f"<h3>{title}</h3>")
        elif block.startswith("|"):
            parts.append(markdown_table(block, looks))
        elif block.startswith("- "):
            items = "".join(f"<li>{inline(line[2:])}</li>" for line in block.splitlines())
            parts.append(f'<ul class="soft">{items}</ul>')
        else:
            parts.append(f'<p class="soft">{inline(block)}</p>')
    return "\n".join([*parts, folded])


def markdown_table(block: str, looks: dict[str, Look]) -> str:
    """A Markdown table as HTML."""
    header, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines())
    return table(
        [inline(cell) for cell in header], [[system(first, looks), *map(rate_cell, rest)] for first, *rest in rows]
    )
