"""Tables of the report. If these fail, it names other numbers than the files."""

import pytest

from espnet2_sop.report.sections import best, duration, value_at
from espnet2_sop.report.training_log import Run


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 min 0 s"), (193.5, "3 min 14 s"), (7265, "2 h 1 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_values_of_a_configuration():
    config = {"a": {"b": [1, "x"]}, "c": 0.0, "d": [], "e": None}
    assert [value_at(config, path) for path in ("a.b", "c", "d", "e", "a.x", "c.x")] == ["1, x", "0.0", *"––––"]


def test_best_epoch():
    epochs = {epoch: {"valid": {"ter": value, "acc": value}} for epoch, value in ((1, 0.5), (2, 0.3), (3, 0.4))}
    run = Run("ctc", 2, epochs, {}, {"best_model_criterion": [["valid", "ter", "min"]]})
    assert best(run) == "valid ter 0.300, epoch 2"
    assert best(Run("sot", 1, epochs, {}, {"best_model_criterion": [["valid", "acc", "max"]]})) == (
        "valid acc 0.500, epoch 1"
    )
    assert best(Run("sot", 1, {}, {}, {"best_model_criterion": [["valid", "acc", "max"]]})) == "–"
    assert best(Run("sot", 1, epochs, {}, {})) == "–"
