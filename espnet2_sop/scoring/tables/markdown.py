"""Tables as data: `RESULTS.md`, `score.md` and the HTML report show the same ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from espnet2_sop.scoring.bootstrap import Difference

DASH = "–"
SMALLEST_GROUP = 10
"""Mixtures that a part of a test set needs to have a rate in a table."""
NARROW = 0.5
"""Percentage points; rates with a narrower interval have two decimals, all others one."""


@dataclass(frozen=True)
class Number:
    """A number of a table with its 95 % interval.

    Attributes:
        value: The number, None where there is none.
        interval: Its lower and upper limit, None where it has none.
        best: Whether it is the lowest of its column.
        signed: Whether it is a difference, shown with its sign and a star where the interval excludes zero.
        decimals: Digits behind the point; None: as the width of the interval allows.
    """

    value: float | None
    interval: Sequence[float] | None = None
    best: bool = False
    signed: bool = False
    decimals: int | None = None

    @property
    def shown(self) -> str:
        """The number alone, with the star of a difference."""
        return DASH if self.value is None else self._format(self.value) + " *" * self.excludes_zero

    @property
    def limits(self) -> str:
        """The interval alone, such as `[1.2, 3.4]`; empty where there is none."""
        return f"[{', '.join(map(self._format, self.interval))}]" if self.interval else ""

    @property
    def excludes_zero(self) -> bool:
        """Whether this is a difference whose whole interval is on one side of zero."""
        return bool(self.signed and self.interval) and (self.interval[0] > 0 or self.interval[1] < 0)

    def __str__(self) -> str:
        """As in Markdown: `**12.3 [11.2, 13.5]**`, `-2.1 [-3.0, -1.2] *`."""
        text = DASH if self.value is None else " ".join(filter(None, (self._format(self.value), self.limits)))
        bold = "**" * self.best
        return f"{bold}{text}{bold}" + " *" * self.excludes_zero

    def _format(self, value: float) -> str:
        decimals = self.decimals
        if decimals is None:
            decimals = 2 if self.interval and 0 < self.interval[1] - self.interval[0] < NARROW else 1
        return f"{value:{'+' * self.signed}.{decimals}f}"


Cell = str | Number


def error_rate(total: Mapping[str, Any], best: bool = False) -> Number:
    """An error rate with its interval, from the counts: rounded once.

    Args:
        total: "rate" and "interval" in percent, "errors" and "words".
        best: Whether it is the lowest of its column.

    Returns:
        The cell of a table.
    """
    value = None if total["rate"] is None else 100 * total["errors"] / total["words"]
    return Number(value, total["interval"], best)


def difference(found: Difference | None) -> Cell:
    """A paired difference in percentage points; a dash where there are no words."""
    if found is None:
        return DASH
    return Number(100 * found.value, [100 * found.low, 100 * found.high], signed=True)


@dataclass(frozen=True)
class Table:
    """Cells in rows and columns.

    Attributes:
        header: Names of the columns.
        rows: The cells; the first of a row names it.
        caption: What the table holds, where a section has several.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One question, and the tables that answer it.

    Attributes:
        title: Its heading.
        notes: Paragraphs before the tables.
        tables: The tables; those without rows are left out.
        items: A list behind the tables.
        lookup: Whether it is there to be looked up, not to be read.
    """

    title: str
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    items: Sequence[str] = ()
    lookup: bool = False


@dataclass(frozen=True)
class Document:
    """A title, paragraphs and sections.

    Attributes:
        title: The title.
        notes: Paragraphs before the sections.
        sections: The sections.
    """

    title: str
    notes: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=list)

    def __str__(self) -> str:
        """The document in Markdown."""
        parts = [f"# {self.title}", *self.notes, *(part for section in self.sections for part in blocks(section))]
        return "\n\n".join(parts) + "\n"


def blocks(section: Section, level: str = "##") -> list[str]:
    """A section as blocks of Markdown.

    Args:
        section: The section.
        level: The signs before its heading.

    Returns:
        Heading, paragraphs, tables and lists, to be joined by empty lines.
    """
    parts = [f"{level} {section.title}", *section.notes]
    for table in section.tables:
        if table.rows:
            parts += [f"{table.caption}:"] * bool(table.caption) + [markdown(table.header, table.rows)]
    return parts + ["\n".join(f"- {item}" for item in section.items)] * bool(section.items)


def markdown(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A Markdown table with columns padded to equal width, numbers to the right.

    Args:
        header: Names of the columns.
        rows: Cells of each row, as many as the header has.

    Returns:
        Its lines.
    """
    cells = [[*map(str, row)] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    first, *others = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, rule, *others))


def plural(number: int, noun: str) -> str:
    """A number with its noun: `1 talker`, `2 talkers`.

    Args:
        number: How many.
        noun: Its singular.

    Returns:
        Both.
    """
    return f"{number} {noun}{'s' * (number != 1)}"
