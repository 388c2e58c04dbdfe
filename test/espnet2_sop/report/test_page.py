"""HTML of tables and marks. If these fail, the page differs from RESULTS.md or shows markup of its own."""

import re

import pytest

from espnet2_sop.report.figures import Look, make_looks
from espnet2_sop.report.page import inline, outline, templates, themed
from espnet2_sop.scoring.tables.markdown import Number, Section, Table

LOOKS = {"sop": Look("#d55e00", "o")}


def rendered(section):
    page = '{% from "macros.html" import section with context %}{{ section(part) }}'
    return " ".join(templates().from_string(page).render(part=section, looks=LOOKS).split())


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (Number(12.34, [11.2, 13.51]), '12.3<span class="interval">[11.2, 13.5]</span>'),
        (Number(12.34, [11.2, 13.51], best=True), '<b>12.3</b><span class="interval">[11.2, 13.5]</span>'),
        (Number(0.59, [-0.39, 1.87], signed=True), '+0.6<span class="interval">[-0.4, +1.9]</span>'),
        (Number(None), "–"),
        ("**12** <b>", "**12** &lt;b&gt;"),
    ],
)
def test_cells(cell, shown):
    assert f"<td>{shown}</td>" in rendered(Section("", tables=[Table(["a", "b"], [["x", cell]])]))


def test_significant_differences_are_marked():
    table = Table(["a", "b", "c"], [["x", Number(-1.7, [-3.4, -0.1], signed=True), Number(1.7, [0.4, 3], signed=True)]])
    html = rendered(Section("", tables=[table]))
    assert re.search('class="better"[^>]*>-1.7 ', html) and re.search('class="worse"[^>]*>[+]1.7 ', html)


def test_systems_are_marked_where_they_name_a_row_or_column():
    html = rendered(Section("", tables=[Table(["a", "sop"], [["sop", "sop"], ["<sop>", "x"]])]))
    assert html.count("polygon") == 2 and "<td>sop</td>" in html and "<td>&lt;sop&gt;</td>" in html


def test_sections_with_nothing_to_show_have_no_table():
    assert "<table" not in rendered(Section("title", ["note"], [Table([], [])]))
    assert rendered(Section("title", lookup=True)) == "<details><summary>title</summary></details>"


def test_text_in_a_line():
    assert inline('**a** `<sc>` \\* & "') == "<b>a</b> <code>&lt;sc&gt;</code> * &amp; &#34;"
    assert inline("`<script>` <b>") == "<code>&lt;script&gt;</code> &lt;b&gt;"


def test_colours_that_dark_pages_need():
    assert themed("fill: #000000; stroke: #d55e00") == "fill: var(--ink); stroke: #d55e00"


def test_markers_are_drawn_inside_of_their_box():
    for look in make_looks([f"x{i}" for i in range(12)]).values():
        numbers = [[float(value) for value in point.split(",")] for point in outline(look).split()]
        assert len(numbers) > 2 and all(0 <= x <= 22 and 0 <= y <= 12 for x, y in numbers)
