"""Decoding with the prompt of another mixture, and of a part of a set."""

import pytest

from espnet2_sop.decoding.decoder import Decoder, decode_set
from espnet2_sop.decoding.exchange import Prompt, choose, lend
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi


@pytest.fixture
def dev(corpus, tmp_path):
    from espnet2_sop.bin import prepare

    argv = ["librimix", "--speech_root", str(corpus.speech), "--csv", str(corpus.csv[2]), "--condition", "clean"]
    prepare.main([*argv, "--out", str(tmp_path / "dev")])
    return tmp_path / "dev"


def test_every_mixture_reads_the_prompt_of_another(model, dev, tmp_path, monkeypatch):
    """Whatever the batches are, and the ids are those that the other one would have read."""
    decode_set(Decoder(model, "sop"), dev, tmp_path / "own", 60, 2)
    own = read_kaldi(tmp_path / "own/prompt")
    expected = lend({key: Prompt([], f"{key} {text}") for key, text in own.items()}, dict.fromkeys(own, 2), dev)
    assert all(prompt.text.split()[0] != key for key, prompt in expected.items())
    model.prompt.read_from("other")
    read, build = [], model.prompt.build
    monkeypatch.setattr(model.prompt, "build", lambda *args: read.extend(args[3]) or build(*args))
    for out, size in (("one", 1), ("many", 8)):
        decode_set(Decoder(model, "sop"), dev, tmp_path / out, 60, size)
        lent = read_kaldi(tmp_path / out / "prompt")
        assert {key: prompt.text for key, prompt in expected.items()} == {
            key: f"{prompt.text.split()[0]} {lent[key]}" for key, prompt in expected.items()
        }
        decoded = {model.tokenizer.decode_serialized(ids) for ids in read}
        assert decoded == set(own.values()) and len(read) == len(own)
        read.clear()
    texts = [read_kaldi(tmp_path / out / "text") for out in ("own", "one", "many")]
    assert texts[1] == texts[2] != texts[0]


def test_an_interrupted_exchange_goes_on_with_the_same_prompts(model, dev, tmp_path):
    model.prompt.read_from("other")
    decoder = Decoder(model, "sop")
    decode_set(decoder, dev, tmp_path / "whole", 60, 2)
    calls, decode = [], Decoder.__call__

    class Failing(Decoder):
        def __call__(self, *args):
            calls.append(args)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return decode(self, *args)

    failing = Failing(model, "sop")
    with pytest.raises(KeyboardInterrupt):
        decode_set(failing, dev, tmp_path / "again", 60, 1)
    decode_set(failing, dev, tmp_path / "again", 60, 1)
    for name in ("text", "prompt"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_prompts_go_round_among_mixtures_with_as_many_talkers():
    talkers = {"a": 2, "b": 2, "c": 2, "d": 3, "e": 3, "f": 1}
    lent = lend({key: Prompt([], key) for key in talkers}, talkers, "dev")
    owners = {key: prompt.text for key, prompt in lent.items()}
    assert owners.keys() == talkers.keys() and all(key != owner for key, owner in owners.items())
    assert all(talkers[owner] == talkers[key] for key, owner in owners.items() if key != "f")
    assert {owners[key] for key in "abc"} == {*"abc"}
    other_order = lend({key: Prompt([], key) for key in reversed(talkers)}, talkers, "dev")
    assert other_order == lent


def test_a_part_of_a_set_is_always_the_same(model, dev, tmp_path):
    names = [f"mix{i}" for i in range(50)]
    few, more = choose(names, 10), choose(reversed(names), 20)
    assert len(few) == 10 and few < more < choose(names, 99) == choose(names, None) == {*names}
    assert few != {*sorted(names)[:10]}
    decode_set(Decoder(model, "sop"), dev, tmp_path / "few", 60, 2, mixtures=2)
    assert read_kaldi(tmp_path / "few/text").keys() == choose(read_kaldi(dev / "text"), 2)
    model.prompt.read_from("other")
    with pytest.raises(UserError, match="dev: --sop_source other needs two or more mixtures"):
        decode_set(Decoder(model, "sop"), dev, tmp_path / "alone", 60, 2, mixtures=1)


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        ("sot", ["--sop_source", "other"], "--sop_source other: --mode sot reads no prompt; use --mode sop"),
        ("sop", ["--mixtures", "0"], "--mixtures 0: must be 1 or more"),
    ],
)
def test_mistakes_are_one_line(mode, options, message):
    from espnet2_sop.bin import decode

    with pytest.raises(UserError, match=message):
        decode.main(["--run", "run", "--mode", mode, "--out", "out", "dev", *options])
