"""If these fail, start offsets differ between machines, leave their ranges, or do not fit the reader of metadata."""

import csv

import numpy as np
import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.corpora.librimix import read_librimix
from espnet2_sop.mixture.corpora.offsets import draw_offset, draw_offsets


def strip(source, target, order=1):
    """The metadata without their offsets, rows perhaps in another order."""
    with open(source, newline="") as f:
        rows = [{k: v for k, v in row.items() if "offset" not in k} for row in csv.DictReader(f)]
    with open(target, "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[::order])
    return target


def test_offsets_are_the_same_everywhere():
    assert draw_offset(0, "1-2-0003_4-5-0006", 2) == 1.2006262991006673
    assert draw_offset(0, "1-2-0003_4-5-0006", 3) == 2.8071345041670526


def test_offsets_fill_their_ranges_evenly():
    for talker, low in ((2, 1.0), (3, 2.5)):
        drawn = np.array([draw_offset(7, f"m{i}", talker) for i in range(4000)])
        assert low <= drawn.min() < low + 0.01
        assert low + 0.49 < drawn.max() < low + 0.5
        np.testing.assert_allclose(np.histogram(drawn, 10, (low, low + 0.5))[0], 400, atol=80)


@pytest.mark.parametrize(("talkers", "columns"), [(2, ["offset"]), (3, ["offset1", "offset2"])])
def test_rows_get_offsets_whatever_their_order(corpus, tmp_path, talkers, columns):
    straight, turned = (strip(corpus.csv[talkers], tmp_path / f"{order}.csv", order) for order in (1, -1))
    assert draw_offsets(straight, tmp_path / "a.csv", 3) == draw_offsets(turned, tmp_path / "b.csv", 3) == 4
    lines, others = (path.read_text().splitlines() for path in (tmp_path / "a.csv", tmp_path / "b.csv"))
    assert sorted(lines) == sorted(others)
    assert [line.rsplit(",", len(columns))[0] for line in lines] == straight.read_text().splitlines()
    assert lines[0].split(",")[-len(columns) :] == columns
    mixtures = read_librimix([tmp_path / "a.csv"], corpus.speech, None, "clean")
    for mixture in mixtures:
        expected = [0, *(int(draw_offset(3, mixture.id, t) * 16000) for t in range(2, talkers + 1))]
        assert [source.start for source in mixture.sources] == expected
    draw_offsets(straight, tmp_path / "c.csv", 4)
    assert (tmp_path / "c.csv").read_text() != (tmp_path / "a.csv").read_text()


def test_tables_that_need_none_are_refused(corpus, tmp_path):
    with pytest.raises(UserError, match=r"has start offsets already \(column offset1, offset2\)"):
        draw_offsets(corpus.csv[3], tmp_path / "a.csv", 0)
    with pytest.raises(UserError, match="1 talkers; offsets are drawn for 2 or 3"):
        draw_offsets(corpus.csv[1], tmp_path / "a.csv", 0)
    assert not (tmp_path / "a.csv").exists()
