import pytest

from espnet2_sop.scoring.alignment import align
from espnet2_sop.scoring.prompt.onset_error import onset_errors, summarize_onsets

A, B, C = ["a", "b"], ["c", "d"], ["e", "f"]


def test_errors_of_matched_talkers():
    """Talkers are matched by their words, whatever their slots; one is missed, one is too many."""
    assert onset_errors(align([A, B], [A, B]), [0.1, 0.9], [0.0, 1.0]).errors == pytest.approx([100, -100])
    assert onset_errors(align([A, B], [B, A]), [1.2, 0.0], [0.0, 1.0]).errors == pytest.approx([0, 200])
    missed = onset_errors(align([A, B, C], [A, C]), [0.0, 2.5], [0.0, 1.0, 2.0])
    assert missed.errors[1] is None and missed.errors[2] == pytest.approx(500) and missed.extra == 0
    extra = onset_errors(align([A], [B, A]), [0.0, 0.3], [0.0])
    assert extra.errors == pytest.approx([300]) and extra.extra == 1


def test_summary_of_constructed_errors():
    """Errors -100, 0, 100, ..., 1000 ms, one mixture each, and a second talker that is missed every other time."""
    mixtures = [
        onset_errors(align([A, B], [A, B] if i % 2 else [A]), [i / 10, 1.05][: 1 + i % 2], [0.0, 1.0])
        for i in range(-1, 11)
    ]
    record = summarize_onsets(mixtures)
    first, second = record["by_slot"]["1"], record["by_slot"]["2"]
    assert (first["talkers"], first["missed"]) == (12, 0) and (second["talkers"], second["missed"]) == (12, 6)
    assert first["bias"] == first["median"] == 450
    assert first["mean_absolute"] == pytest.approx(5600 / 12, abs=0.1) and first["median_absolute"] == 450
    assert first["percentile_90"] == 890  # between 800 and 900, as numpy does by default
    assert first["within_200_ms"] == pytest.approx(100 * 4 / 12, abs=0.01)
    assert second["bias"] == 50 and second["within_200_ms"] == 100
    assert record["talkers"] == 24 and record["missed"] == 6 and record["extra"] == 0
    low, high = first["intervals"]["bias"]
    assert low < 450 < high


def test_nobody_found():
    record = summarize_onsets([onset_errors(align([A], []), [], [0.0])])
    assert record["missed"] == 1 and record["bias"] is None and record["by_slot"]["1"]["within_200_ms"] is None
