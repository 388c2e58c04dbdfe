"""If these fail, manifests lose something on disk, mistakes in them pass, or lengths and overlap are wrong."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.manifest import Mixture, Noise, Recording, Source, read_manifest, write_manifest

words = st.lists(st.text("ABCÄ'", min_size=1, max_size=4), min_size=1, max_size=3).map(" ".join)
sources = st.builds(
    Source,
    path=st.just("a.flac"),
    speaker=st.sampled_from(["1", "2"]),
    text=words,
    onset=st.floats(0, 0.02),
    gain=st.floats(0.01, 4),
    num_samples=st.integers(2, 400),
    speed=st.sampled_from([1.0, 0.9, 1.13]),
    offset=st.none() | st.integers(0, 9),
    room=st.none() | st.just("room.flac"),
)
mixtures = st.builds(
    Mixture,
    id=st.text("abc-1", min_size=1),
    sources=st.lists(sources, min_size=1, max_size=4).map(lambda rows: tuple(sorted(rows, key=lambda s: s.onset))),
    noise=st.none() | st.builds(Noise, st.just("n.wav"), st.integers(0, 9), st.floats(0, 2)),
    mode=st.sampled_from(["max", "min"]),
    recording=st.none() | st.builds(Recording, st.just("m.wav"), st.integers(0, 9)),
    peak=st.sampled_from(["scale", "clip"]),
    speed=st.sampled_from([1.0, 0.9]),
)


@given(rows=st.lists(mixtures, max_size=5, unique_by=lambda m: m.id))
def test_written_manifests_are_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("manifest") / "mixtures.jsonl"
    write_manifest(path, rows)
    assert read_manifest(path) == rows


@given(mixture=mixtures.map(lambda mixture: dataclasses.replace(mixture, speed=1.0)))
def test_overlap_and_length_agree_with_counting_every_sample(mixture):
    active = np.zeros(2000, dtype=int)
    for source in mixture.sources:
        for sample in range(source.start, source.start + source.length):
            active[sample] += 1
    ends = [source.start + source.length for source in mixture.sources]
    length = max(ends) if mixture.mode == "max" else min(ends)
    assert mixture.num_samples == length
    speech, overlap = (active[:length] >= 1).sum(), (active[:length] >= 2).sum()
    assert mixture.overlap_ratio == pytest.approx(overlap / speech if speech else 0.0)


@given(mixture=mixtures)
def test_what_is_heard_of_a_played_mixture_is_in_it(mixture):
    assert mixture.num_samples == round(mixture.mixed_samples / mixture.speed)
    whole = zip(mixture.spans, mixture.onsets, mixture.sources, strict=True)
    for (start, end), onset, source in whole:
        assert 0 <= start <= end <= mixture.num_samples
        assert start in (mixture.num_samples, pytest.approx(onset * 16000, abs=1.1))
        assert end in (mixture.num_samples, pytest.approx(source.end / mixture.speed, abs=0.5))
    assert (mixture.mode == "min") or max(end for _, end in mixture.spans) == mixture.num_samples


def test_text_is_serialized_in_order_of_onset():
    rows = [Source("a", "1", "ONE TWO", 0.0, 1.0, 10), Source("b", "2", "THREE", 0.5, 1.0, 10)]
    assert Mixture("m", tuple(rows)).text == "ONE TWO <sc> THREE"
    assert Mixture("m", tuple(rows[:1])).text == "ONE TWO"


def good() -> dict:
    rows = [{"path": "a", "speaker": "1", "text": "ONE", "onset": t, "gain": 1, "num_samples": 9} for t in (0, 0.5)]
    return {"id": "m", "sources": rows, "noise": {"path": "n", "offset": 0, "gain": 0.5}}


def without(record: dict, *names: str) -> dict:
    return {key: value for key, value in record.items() if key not in names}


def with_source(**values) -> dict:
    return good() | {"sources": [good()["sources"][0] | values]}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (without(good(), "sources"), "without the key 'sources'"),
        (without(good(), "id"), "without the key 'id'"),
        (good() | {"room": None}, "unknown key 'room'"),
        (good() | {"id": "a b"}, "without blanks"),
        (good() | {"sources": []}, "has no sources"),
        (good() | {"sources": good()["sources"][::-1]}, "not in order of onset"),
        (good() | {"sources": [without(good()["sources"][0], "gain", "text")]}, "'text', 'gain'"),
        (with_source(text="  "), "without words"),
        (with_source(text="ONE  TWO"), "single spaces"),
        (with_source(text="ONE <sc> TWO"), "<sc> in the words of one talker"),
        (with_source(onset=-0.1), "onset >= 0"),
        (with_source(speed=0), "speed > 0"),
        (with_source(gain="loud"), "'gain' must be of type float"),
        (with_source(gain=float("nan")), "NaN is no number"),
        (with_source(gain=10**400), "'gain' must be finite"),
        (with_source(num_samples=1.5), "'num_samples' must be of type int"),
        (with_source(speeed=1.0), "unknown key 'speeed'"),
        (good() | {"noise": {"path": "n", "gain": 1}}, "noise without the key 'offset'"),
        (good() | {"noise": {"path": "n", "gain": 1, "offset": -1}}, "negative"),
        (good() | {"mode": "mean"}, "mode 'mean'"),
        (good() | {"peak": "high"}, "peak 'high'"),
        (good() | {"speed": 0}, "'speed' must be a number above zero"),
        (good() | {"speed": "fast"}, "'speed' must be a number above zero"),
        (good() | {"recording": {"path": "m", "offset_samples": -1}}, "offset_samples -1 is negative"),
        (good() | {"recording": {"offset_samples": 1}}, "recording without the key 'path'"),
        (good() | {"peak": "cut"}, "peak 'cut'; one of: scale, clip"),
        (good() | {"recording": {"path": "r", "offset_samples": -1}}, "offset_samples -1 is negative"),
        (good() | {"recording": "r.wav"}, "keys of a recording"),
        (with_source(offset=-5), "offset -5 is negative"),
        (with_source(offset=1.5), "'offset' must be of type int | None"),
        (with_source(room=3), "'room' must be of type str | None"),
        (good() | {"sample_rate": 8000}, "8000"),
        ([], "JSON object"),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path, record, said):
    path = tmp_path / "mixtures.jsonl"
    path.write_text(json.dumps(good() | {"id": "first"}) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(UserError, match="mixtures.jsonl, line 2: ") as error:
        read_manifest(path)
    assert said in str(error.value)


def test_broken_json_and_repeated_ids_are_told_with_the_line(tmp_path):
    path = tmp_path / "mixtures.jsonl"
    path.write_text('{"id": "m"')
    with pytest.raises(UserError, match="line 1: broken JSON"):
        read_manifest(path)
    path.write_text(f"{json.dumps(good())}\n" * 2)
    with pytest.raises(UserError, match="line 2: id 'm' came before"):
        read_manifest(path)
    with pytest.raises(UserError, match="no such file"):
        read_manifest(tmp_path / "none.jsonl")


def test_mixtures_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Noise("n", 0, 1.0).gain = 2.0
