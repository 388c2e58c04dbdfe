import json

import fuzzing
import pytest

from espnet2_sop.decoding.decoder import Decoder, decode_set, require_mode
from espnet2_sop.decoding.hypotheses import is_row, read_partial, write_hypotheses
from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.batching import sorted_batches


@pytest.mark.parametrize("which", ["model", "whisper_model", "heads_model"])
@pytest.mark.parametrize("mode", ["ctc", "sot", "sop"])
def test_batched_equals_single(which, waves, mode, request):
    """The result of a mixture must not depend on its neighbours in the batch."""
    decoder = Decoder(request.getfixturevalue(which), mode)
    together = decoder(waves)
    assert together == [decoder([wave])[0] for wave in waves]
    assert len({h.text for h in together}) > 1, "the outputs must differ for the comparison to mean anything"


@pytest.mark.parametrize(("mode", "draft", "passes"), [
    ("ctc", False, [True]),
    ("sot", False, [False]),
    ("sot", True, [False, True]),  # for the draft
    ("sop", False, [False, True]),
])  # fmt: skip
def test_each_reader_gets_its_own_frames_and_no_pass_is_in_vain(heads_model, waves, mode, draft, passes):
    """Heads and decoder write what each writes when the encoder has no other adapter than its own."""
    seen = []
    heads_model.front_end.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("for_heads", False)), with_kwargs=True
    )
    hypotheses = Decoder(heads_model, mode, draft=draft)(waves)
    assert seen == passes
    if mode != "ctc":
        for p in heads_model.parameters_by_part()["encoder_heads"]:
            p.data.zero_()
        changed = Decoder(heads_model, mode, draft=draft)(waves)
        assert [h.text for h in changed] == [h.text for h in hypotheses] or mode == "sop"
        assert [h.prompt for h in changed] != [h.prompt for h in hypotheses] or mode == "sot"


@pytest.mark.parametrize("mode", ["sot", "sop"])
def test_drafts_save_passes_and_change_nothing(model, waves, mode):
    """Mode sot has drafts if its heads are trained; the passes are counted with and without."""
    model.ctc_weight = 0.3
    with_draft, without = Decoder(model, mode), Decoder(model, mode, draft=False)
    assert with_draft.draft and not without.draft
    hypotheses = with_draft(waves)
    assert hypotheses == without(waves)
    assert all(h.statistics.verified > 0 for h in hypotheses)
    assert all(h.statistics.passes == h.statistics.tokens for h in without(waves))


def test_no_draft_of_untrained_heads_nor_for_beams(options):
    from espnet2_sop.model.build import build_model

    model = build_model(options("sot", []))
    assert not Decoder(model, "sot").draft
    model = build_model(options("sop", []))
    assert Decoder(model, "sop").draft and not Decoder(model, "sop", num_beams=2).draft


def test_a_draft_is_the_prompt_as_the_llm_would_write_it(model, waves, monkeypatch):
    """Without the marks of the prompt and with `<sc>` even where the prompt has none."""
    from espnet2_sop.decoding import decoder

    seen = []
    generate = decoder.generate
    monkeypatch.setattr(decoder, "generate", lambda *args: seen.append(args[5]) or generate(*args))
    model.prompt.sop_separator, model.prompt.confidence_mark = False, [300]
    model.prompt.confidence_threshold = 1.1
    hypotheses = Decoder(model, "sop")(waves)
    assert [model.tokenizer.decode_serialized(ids) for ids in seen[0]] == [h.prompt for h in hypotheses]
    assert any(model.tokenizer.sc_id in ids for ids in seen[0])


def test_speed_is_reported_with_the_llms_passes(model, corpus, tmp_path):
    """speed.json: means over the mixtures; none for CTC alone."""
    from espnet2_sop.bin import prepare

    argv = ["librimix", "--speech_root", str(corpus.speech), "--csv", str(corpus.csv[2]), "--condition", "clean"]
    prepare.main([*argv, "--out", str(tmp_path / "dev")])
    speed = {}
    for mode, draft in (("sop", True), ("sop", False), ("ctc", True)):
        out = tmp_path / f"{mode}_{draft}"
        decode_set(Decoder(model, mode, draft=draft), tmp_path / "dev", out, 60, 2)
        speed[mode, draft] = json.loads((out / "speed.json").read_text())
    fast, plain = speed["sop", True], speed["sop", False]
    assert fast["tokens_per_mixture"] == plain["tokens_per_mixture"] == plain["passes_per_mixture"]
    assert fast["passes_per_mixture"] <= plain["passes_per_mixture"]
    assert 0 <= fast["draft_acceptance"] <= 1 and plain["draft_acceptance"] is None
    assert "passes_per_mixture" not in speed["ctc", True]
    assert (tmp_path / "sop_True/text").read_text() == (tmp_path / "sop_False/text").read_text()


def test_times_of_words_are_those_of_the_peaks(model, waves, monkeypatch):
    """Heads with peaks at chosen frames: frame k stands at k x 80 ms, whatever else is in the batch."""
    import torch

    red, box = (model.tokenizer.encode(word) for word in ("red", "box"))
    blank = model.front_end.ctc.blank
    paths = [[blank, *red, blank, *box], [blank] * 7, [blank] * 3 + box]

    def peaks(streams):
        batch, frames, _ = streams[0].shape
        rows = [torch.tensor([path + [blank] * (frames - len(path))] * batch) for path in paths]
        return [torch.nn.functional.one_hot(row, blank + 1).float().mul(30).log_softmax(-1) for row in rows]

    monkeypatch.setattr(model.front_end.ctc, "one_by_one", peaks)
    end = 1 + len(red)
    expected = (
        (1, 0.08, round(0.08 * len(red), 3), "red", 1.0),
        (1, round(0.08 * (end + 1), 3), round(0.08 * len(box), 3), "box", 1.0),
        (3, 0.24, round(0.08 * len(box), 3), "box", 1.0),
    )
    for batch in (waves, waves[1:], waves[2:]):
        for hyp in Decoder(model, "ctc")(batch):
            assert hyp.words == expected and hyp.prompt == "red box <sc> box"
            assert hyp.onsets == (0.08, 0.24)


@pytest.mark.parametrize("tap", [0, 1, 2, 3])
def test_frames_stand_where_their_convolutions_look(model, tap):
    """The middle of the samples that frame k depends on, measured by gradients."""
    import torch

    from espnet2_sop.model.encoder.downsampler import ConvDownsampler

    model.front_end.tap = tap
    wave = torch.randn(1, 32000, requires_grad=True)
    features = model.front_end.encoder.ssl.feature_extractor.requires_grad_(True)(wave).transpose(1, 2)
    lengths = torch.tensor([features.size(1)])
    blocks = [features, *(frames for frames, _ in ConvDownsampler(features.size(2), 8)(features, lengths))]
    k = 5
    (gradient,) = torch.autograd.grad(blocks[tap][0, k].square().sum(), wave)
    seen = gradient[0].nonzero()[:, 0]
    middle = (int(seen[0]) + int(seen[-1]) + 1) / 2 / 16000
    assert middle == pytest.approx(k * model.ctc_frame_seconds + 0.0125, abs=1e-3)


def test_decoded_set_has_the_times_of_its_prompt(model, corpus, tmp_path):
    from espnet2_sop.bin import prepare
    from espnet2_sop.io.files import read_kaldi
    from espnet2_sop.text.ctm import read_ctm

    argv = ["librimix", "--speech_root", str(corpus.speech), "--csv", str(corpus.csv[2]), "--condition", "clean"]
    prepare.main([*argv, "--out", str(tmp_path / "dev")])
    decode_set(Decoder(model, "sop"), tmp_path / "dev", tmp_path / "out", 60, 2)
    prompts, onsets = read_kaldi(tmp_path / "out/prompt"), read_kaldi(tmp_path / "out/onsets")
    words = read_ctm(tmp_path / "out/prompt.ctm")
    assert words and words.keys() <= prompts.keys()
    for key, prompt in prompts.items():
        found = words.get(key, [])
        talkers = [[w for w in found if w.talker == slot] for slot in (1, 2, 3)]
        assert [" ".join(w.word for w in t) for t in talkers if t] == [t for t in prompt.split(" <sc> ") if t]
        assert [f"{t[0].start:.3f}" for t in talkers if t] == onsets[key].split()


def test_interrupted_decoding_goes_on(model, corpus, tmp_path):
    """Rows of the partial file are kept, one that was cut off is decoded again, nothing is lost."""
    from espnet2_sop.bin import prepare

    argv = ["librimix", "--speech_root", str(corpus.speech), "--csv", str(corpus.csv[2]), "--condition", "clean"]
    prepare.main([*argv, "--out", str(tmp_path / "dev")])
    decode_set(Decoder(model, "ctc"), tmp_path / "dev", tmp_path / "whole", 60, 2)
    lines = (tmp_path / "whole/text").read_text().splitlines()
    kept = {"id": lines[0].split()[0], "text": "kept", "prompt": "", "onsets": [], "words": []}
    kept |= {"seconds": 0.1, "audio": 1.0, "effort": None}
    (tmp_path / "again").mkdir()
    (tmp_path / "again/.partial.jsonl").write_text(json.dumps(kept) + "\n" + '{"id": "cut o')
    calls = []
    decoder = Decoder(model, "ctc")
    decode_set(lambda waves, _: calls.append(len(waves)) or decoder(waves), tmp_path / "dev", tmp_path / "again", 60, 2)
    again = (tmp_path / "again/text").read_text().splitlines()
    assert again == [f"{kept['id']} kept", *lines[1:]]
    assert sum(calls) == len(lines) - 1
    assert not (tmp_path / "again/.partial.jsonl").exists()


def test_files_of_a_prompt_that_is_no_more_are_removed(tmp_path):
    words = {"onsets": [0.0], "words": [[1, 0.0, 0.1, "one", 0.9]]}
    row = {"id": "a", "text": "one", "prompt": "one", **words, "seconds": 0.1, "audio": 1.5}
    write_hypotheses(tmp_path, [row])
    names = {"hyp.seglst.json", "speed.json", "text"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"prompt", "onsets", "prompt.ctm"}
    write_hypotheses(tmp_path, [row | {"prompt": "", "onsets": [], "words": []}])
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["a/dev", "b/../b/dev"], r"a/dev and b/../b/dev: both would be written to out/dev; call again"),
        (["a/dev/.", "b/dev/eval/.."], "both would be written to out/dev; call again"),
        (["/"], "/: has no name for a folder in --out out"),
        (["a/dev", "--batch_seconds", "inf"], "batch_seconds: inf is no limit of a batch"),
        (["a/dev", "--batch_seconds", "1e305"], r"batch_seconds: 1e\+305 is no limit of a batch"),
        (["a/dev", "--batch_size", "0"], "batch_size: 0 is no limit of a batch"),
        (["a/dev", "--beam", "0"], "--beam 0: must be 1 or more"),
    ],
)
def test_what_cannot_be_decoded_is_refused_before_anything_is(tmp_path, monkeypatch, options, message):
    """Two directories of one name would write over each other."""
    from espnet2_sop.bin import decode

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        decode.main(["--run", "run", "--mode", "sop", "--out", "out", *options])
    assert not list(tmp_path.iterdir())


def test_a_directory_is_named_whatever_leads_to_it(tmp_path, monkeypatch):
    """`.` has the name of the working directory, a link its own."""
    from pathlib import Path

    from espnet2_sop.bin.decode import output_folders

    (tmp_path / "dev").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "dev")
    monkeypatch.chdir(tmp_path / "dev")
    assert output_folders([".", "../link"], Path("out")) == {
        Path("."): Path("out/dev"),
        Path("../link"): Path("out/link"),
    }


def test_partial_file_of_nothing(tmp_path):
    assert list(read_partial(tmp_path / "none", is_row)) == []


def test_batches_hold_their_limits():
    lengths = {f"m{i}": n for i, n in enumerate([10, 20, 30, 40, 100, 500])}
    batches = list(sorted_batches(lengths, samples=100, size=3))
    assert [name for batch in batches for name in batch] == list(lengths)
    assert batches == [["m0", "m1", "m2"], ["m3"], ["m4"], ["m5"]]


@pytest.mark.parametrize(
    ("objective", "weight", "modes"),
    [
        ("sot", None, {"sot"}),
        ("sot", 0.3, {"sot", "ctc"}),
        ("align", None, {"ctc"}),
        ("ctc", None, {"ctc"}),
        ("sop", None, {"sop", "ctc"}),
        ("joint", None, {"sop", "ctc"}),
    ],
)
def test_a_run_decodes_in_the_modes_it_was_trained_for(options, objective, weight, modes):
    from espnet2_sop.model.build import build_model

    conf = {"objective": objective, "trainable": [], "ctc_weight": weight}
    model = build_model(options(objective, [], model_conf=conf))
    for mode in ("sot", "ctc", "sop"):
        if mode in modes:
            require_mode(model, mode)
        else:
            with pytest.raises(UserError, match=f"--mode {mode}: this run was trained for {objective}"):
                require_mode(model, mode)


def test_prompt_from_reference_is_what_training_builds(model, waves, monkeypatch):
    """Decoding must hand the LLM the prompt ids that stage 3 with this source would."""
    seen = []
    model.prompt.read_from("reference")
    build = model.prompt.build
    monkeypatch.setattr(model.prompt, "build", lambda *args: seen.append(args[3]) or build(*args))
    texts = ["RED BOX <sc> GO NOW", "TAKE THE KEY", "ONE"]
    hypotheses = Decoder(model, "sop")(waves, texts)
    model.use("sop")
    targets = [model.tokenizer.encode_serialized(t.lower()) for t in texts]
    assert seen == [[ids[:-1] for ids in targets]]
    assert [h.prompt for h in hypotheses] == [t.lower() for t in texts] and not any(h.onsets for h in hypotheses)


def test_prompt_from_nowhere_is_no_prompt(model, waves):
    """Same adapters as stage 3, an empty prompt; not the same as mode sot, whose adapter `sop` is off."""
    silent = Decoder(model, "sop")
    silent.model.front_end.slots = lambda *_: [[] for _ in waves]
    expected = [h.text for h in silent(waves)]
    model.prompt.read_from("none")
    assert [h.text for h in Decoder(model, "sop")(waves)] == expected
    assert [h.text for h in Decoder(model, "sot")(waves)] != expected


def test_oracle_must_be_named_so(model, tmp_path):
    from espnet2_sop.decoding.decoder import require_named_oracle

    require_named_oracle(model, "sop", tmp_path / "sop")
    model.prompt.read_from("reference")
    for name in ("sop_reference", "oracle"):
        require_named_oracle(model, "sop", tmp_path / name)
    require_named_oracle(model, "ctc", tmp_path / "ctc")
    with pytest.raises(UserError, match="this is an oracle; name the system so, e.g. sop_reference"):
        require_named_oracle(model, "sop", tmp_path / "sop")


def test_rows_that_are_none_of_an_interrupted_run_are_dropped(tmp_path):
    """What is left is enough to write all files."""
    effort = {"passes": 2, "tokens": 3, "verified": 4, "accepted": 2}
    row = {"text": "one <sc> two", "prompt": "one <sc> two", "onsets": [0.0, 0.5], "words": [[1, 0.0, 0.1, "one", 0.9]]}
    row |= {"seconds": 0.1, "audio": 1.5, "effort": effort}
    path = tmp_path / ".partial.jsonl"
    path.write_text(json.dumps({"id": "a", **row}) + "\n" + json.dumps({"id": "b", **row, "effort": None}) + "\n")
    assert [name for name, _ in read_partial(path, is_row)] == ["a", "b"]

    def use():
        rows = [row for _, row in read_partial(path, is_row)]
        if rows:
            fuzzing.accepts(lambda: write_hypotheses(tmp_path / "out", rows))

    fuzzing.fuzz(path, use, json_lines=True)
