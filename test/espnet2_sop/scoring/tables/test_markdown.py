"""Cells and tables. If these fail, a paper has digits that mean nothing, or stars at the wrong place."""

import pytest

from espnet2_sop.scoring.bootstrap import Difference
from espnet2_sop.scoring.tables.markdown import Document, Number, Section, Table, difference, error_rate, plural


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(12.34), "12.3"),
        (Number(12.34, [10.86, 13.51]), "12.3 [10.9, 13.5]"),
        (Number(2.34, [2.2, 2.45]), "2.34 [2.20, 2.45]"),  # narrower than half a point
        (Number(0.0, [0.0, 0.0]), "0.0 [0.0, 0.0]"),
        (Number(12.34, [11.2, 13.5], best=True), "**12.3 [11.2, 13.5]**"),
        (Number(-2.1, [-3.05, -1.2], signed=True), "-2.1 [-3.0, -1.2] *"),
        (Number(0.61, [0.5, 0.7], decimals=2), "0.61 [0.50, 0.70]"),
        (Number(120.4, [100, 140], decimals=0), "120 [100, 140]"),
        (Number(None), "–"),
    ],
)
def test_numbers(number, text):
    assert str(number) == text


def test_a_difference_has_a_star_only_if_zero_is_outside():
    assert str(difference(Difference(0.01, -0.01, 0.03, 0.2))) == "+1.0 [-1.0, +3.0]"
    assert str(difference(Difference(0.02, 0.01, 0.03, 0.01))) == "+2.0 [+1.0, +3.0] *"
    assert difference(None) == "–"
    assert not Number(2, [1, 3]).excludes_zero  # a rate is no difference


def test_rates_are_rounded_once():
    """20 of 1024 are 1.953 %: 2.0, though 1.95 as score.json has it would be 1.9."""
    assert str(error_rate({"rate": 1.95, "interval": None, "errors": 20, "words": 1024})) == "2.0"
    assert str(error_rate({"rate": None, "interval": None, "errors": 3, "words": 0})) == "–"


def test_a_document():
    table = Table(["system", "cpWER"], [["sop", Number(1.0)], ["sot", "–"]], "Rates")
    text = str(Document("T", ["n"], [Section("S", ["m"], [table, Table([], [])], ["a", "b"])]))
    assert text == (
        "# T\n\nn\n\n## S\n\nm\n\nRates:\n\n| system | cpWER |\n| ------ | ----: |\n| sop    |   1.0 |\n"
        "| sot    |     – |\n\n- a\n- b\n"
    )


def test_plural():
    assert [plural(n, "talker") for n in (0, 1, 2)] == ["0 talkers", "1 talker", "2 talkers"]
