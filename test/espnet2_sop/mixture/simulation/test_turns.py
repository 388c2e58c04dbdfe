"""If these fail, joined turns lose words or speech, or put two speakers into one."""

import itertools

import numpy as np
import pytest

from espnet2_sop.bin import prepare
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.simulation.pool import Utterance, build_pool, level_db, read_pool
from espnet2_sop.mixture.simulation.turns import draw_turns, join


def utterance(number, seconds, speaker="a", folder="x"):
    name = f"{speaker}-{folder}-{number:04d}"
    return Utterance(name, f"{folder}/{name}.flac", speaker, f"WORD{number}", round(seconds * 16000), -20.0)


POOL = [utterance(n, 1 + n % 4, speaker, folder) for speaker, folder in ("ax", "ay", "by") for n in range(200)]


def test_every_utterance_is_in_one_turn_in_its_order():
    turns = list(draw_turns(POOL, (0, 10), seed=1))
    assert [u for turn in turns for u in turn.utterances] == POOL
    assert all(len({(u.speaker, u.path[0]) for u in turn.utterances}) == 1 for turn in turns)


def test_turns_are_as_long_as_wanted():
    """Lengths summed by hand: none over the longest; short ones only where the next utterance would not have fitted."""
    turns = list(draw_turns(POOL, (5, 10), seed=1))
    for turn, after in itertools.pairwise(turns):
        assert all(0.2 * 16000 <= pause <= 0.6 * 16000 for pause in turn.pauses)
        length = sum(u.num_samples for u in turn.utterances) + sum(turn.pauses)
        assert turn.num_samples == length <= 10 * 16000
        same = after.utterances[0].id[:3] == turn.utterances[0].id[:3]
        assert length >= 5 * 16000 or not same or length + after.utterances[0].num_samples + 0.6 * 16000 > 10 * 16000
    assert {len(turn.utterances) for turn in draw_turns(POOL, (0, 10), seed=1)} == {1, 2, 3}


def test_the_seed_decides():
    assert list(draw_turns(POOL, (0, 10), seed=1)) == list(draw_turns(POOL, (0, 10), seed=1))
    assert list(draw_turns(POOL, (0, 10), seed=1)) != list(draw_turns(POOL, (0, 10), seed=2))


def test_an_utterance_over_the_longest_turn_stays_alone():
    pool = [utterance(0, 2), utterance(1, 30), utterance(2, 2)]
    assert [len(turn.utterances) for turn in draw_turns(pool, (9, 10), seed=1)] == [1, 1, 1]


@pytest.fixture
def prepared(corpus, write_rule, tmp_path):
    """A prepared simulation of turns, and the single utterances."""
    options = ["--speech_root", str(corpus.speech), "--noise_root", str(corpus.noise / "tr"), "--subset", "train-mini"]
    rule = write_rule(tmp_path / "rule.yaml", mixtures_per_epoch=10)
    made = ["simulation", *options, "--config", str(rule), "--out", str(tmp_path / "train"), "--turns", "5 10"]
    prepare.main(made)
    return tmp_path / "train", build_pool(corpus.speech, "train-mini")


def test_prepared_turns_hold_the_speech_and_the_words(prepared):
    folder, single = prepared
    pool, reader = read_pool(folder / "sources.jsonl"), AudioReader()
    assert len(pool) < len(single)
    assert " ".join(u.text for u in pool) == " ".join(u.text for u in single)
    rest = iter(single)
    for turn in pool:
        samples = reader.read(turn.path)
        assert len(samples) == turn.num_samples
        assert turn.level_db == level_db(samples, turn.path)
        words = 0
        while words < len(turn.text.split()):
            part = next(rest)
            assert part.speaker == turn.speaker
            spoken = reader.read(part.path)
            quiet = 0
            while not np.array_equal(samples[quiet : quiet + len(spoken)], spoken):
                assert quiet < 0.6 * 16000
                assert samples[quiet] == 0
                quiet += 1
            samples, words = samples[quiet + len(spoken) :], words + len(part.text.split())
        assert not len(samples)


def test_parts_of_recordings_are_joined(corpus):
    """An utterance that starts inside of a file is taken from there."""
    first = build_pool(corpus.speech, "train-mini")[0]
    parts = [Utterance(f"{n}", first.path, "a", "WORD", 4000, -20.0, offset=5000 * n) for n in (0, 1)]
    (turn,) = draw_turns(parts, (9, 10), seed=1)
    whole, made = AudioReader().read(first.path), join(turn, AudioReader())
    assert np.array_equal(made[:4000], whole[:4000])
    assert np.array_equal(made[-4000:], whole[5000:9000])


@pytest.mark.parametrize("text", ["", "5", "5 4", "-1 4", "a b", "1 inf", "nan 3", "1 2 3"])
def test_lengths_that_cannot_be_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        prepare.get_parser().parse_args(["simulation", "--config", "a", "--out", "b", "--turns", text])
    assert "such as '0 10'" in capsys.readouterr().err
