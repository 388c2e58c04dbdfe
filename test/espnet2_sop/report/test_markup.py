"""HTML of tables. If these fail, the page differs from RESULTS.md or shows markup of its own."""

import pytest

from espnet2_sop.report.experiment import read_experiment
from espnet2_sop.report.figures import make_looks
from espnet2_sop.report.markup import from_markdown, inline, mark, rate_cell
from espnet2_sop.scoring.tables.results import report, result_row


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("12.34 [11.20, 13.51]", '12.34<span class="interval">[11.20, 13.51]</span>'),
        ("**12.34 [11.20, 13.51]**", '<b>12.34</b><span class="interval">[11.20, 13.51]</span>'),
        ("+0.59 [-0.39, +1.87]", '+0.59<span class="interval">[-0.39, +1.87]</span>'),
        ("– / 0.00 / –", "– / 0.00 / –"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_cells(cell, shown):
    assert rate_cell(cell) == shown


def test_significant_differences_are_marked():
    assert 'class="better"' in rate_cell("-1.69 [-3.43, -0.03] *") and "-1.69 *" in rate_cell("-1.69 [-3.43, -0.03] *")
    assert 'class="worse"' in rate_cell("+1.69 [+0.43, +3.03] *")


def test_text_in_a_line():
    assert inline('**a** `<sc>` \\* & "') == "<b>a</b> <code>&lt;sc&gt;</code> * &amp; &quot;"


def test_the_result_tables_are_those_of_the_table_command(experiment):
    whole = read_experiment(experiment)
    html = from_markdown(report(whole.records), make_looks(whole.systems))
    assert "| " not in html and "**" not in html and "## " not in html and "---" not in html
    assert html.count("<details>") == html.count("</details>") == 2
    for row in map(result_row, whole.records):
        assert f"{row['cpwer']:.2f}" in html and f"{row['system']}</span>" in html


def test_markers_are_drawn_inside_of_their_box():
    for look in make_looks([f"x{i}" for i in range(12)]).values():
        points = mark(look).split('points="')[1].split('"')[0]
        numbers = [[float(value) for value in point.split(",")] for point in points.split()]
        assert len(numbers) > 2 and all(0 <= x <= 22 and 0 <= y <= 12 for x, y in numbers)
