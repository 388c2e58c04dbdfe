import pytest
import torch

from espnet2_sop.assembly import build_model, check_checkpoint, load_checkpoint
from espnet2_sop.errors import UserError
from espnet2_sop.model import SOPModel, token_error

STAGES = {
    "sot": ["encoder", "downsampler", "projector", "sot"],
    "ctc": ["separator", "ctc"],
    "sop": ["sop"],
}
TEXTS = ["RED BOX <sc> GO NOW", "TAKE THE KEY", "ONE <sc> TWO <sc> THREE"]


def make_batch(model, waves, texts):
    from espnet2.train.collate_fn import CommonCollateFn

    from espnet2_sop.text.preprocessor import SerializedTextPreprocessor

    preprocess = SerializedTextPreprocessor(model.tokenizer, model.vocabulary, model.num_talkers)
    rows = [
        (str(i), preprocess(str(i), {"speech": w, "text": t}))
        for i, (w, t) in enumerate(zip(waves, texts, strict=True))
    ]
    return CommonCollateFn(0.0, -1)(rows)[1]


@pytest.mark.parametrize("objective", STAGES)
def test_each_stage_trains_its_modules_and_no_other(objective, options, waves):
    """After one step exactly the listed modules have moved; the base LLM and the rest have not."""
    torch.manual_seed(0)
    model = build_model(options(objective, STAGES[objective])).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = make_batch(model, waves, TEXTS)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):  # LoRA's A moves only once B is no longer zero
        loss, stats, weight = model(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weight == 3 and stats["loss"] == loss
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    prefixes = tuple(f"{name}." for name in STAGES[objective] if name not in ("sot", "sop"))
    for name in before:
        adapter = [a for a in ("sot", "sop") if f".{a}." in name or (a == "sot" and name == "llm.sc_input")]
        expected = name.startswith(prefixes) if prefixes else False
        expected = (expected and "feature_extractor" not in name) or bool(set(adapter) & set(STAGES[objective]))
        if name == "encoder.ssl.masked_spec_embed" or "rel_attn_embed" in name:
            continue  # used only where a mask or a distance happens to fall
        assert (name in moved) == expected, name


@pytest.mark.parametrize("objective", STAGES)
def test_loss_of_a_padded_batch_is_that_of_its_rows(objective, options, waves):
    """Neither speech, prompt nor text padding may leak into a row's loss."""
    torch.manual_seed(0)
    model = build_model(options(objective, STAGES[objective])).eval()
    _, stats, _ = model(**make_batch(model, waves, TEXTS))
    if objective == "ctc":
        rows = [model(**make_batch(model, [w], [t]))[0] for w, t in zip(waves, TEXTS, strict=True)]
        torch.testing.assert_close(stats["loss"], torch.stack(rows).mean(0), rtol=1e-4, atol=1e-4)
    else:
        batches = [make_batch(model, [w], [t]) for w, t in zip(waves, TEXTS, strict=True)]
        sums = torch.stack([model(**b)[0] * b["text_lengths"].sum() for b in batches])
        total = sum(b["text_lengths"].sum() for b in batches)
        torch.testing.assert_close(stats["loss"], sums.sum(0) / total, rtol=1e-4, atol=1e-4)


def test_talker_count_is_read_off_the_output(model):
    """An empty slot leaves no separator in the prompt."""
    from espnet2_sop.ctc.serialized import TalkerTokens

    slots = [[TalkerTokens([270], [0], [1.0]), TalkerTokens([], [], []), TalkerTokens([271], [3], [1.0])]]
    assert model.sop(slots) == [[270, model.tokenizer.sc_id, 271]]


def test_the_prompt_changes_the_output_and_has_no_gradient(model, waves):
    batch = make_batch(model, waves, TEXTS)
    with_prompt, stats, _ = model(**batch)
    assert stats["sop_error"] > 0
    model.talkers = lambda levels: [[] for _ in waves]
    without, _, _ = model(**batch)
    assert not torch.allclose(with_prompt, without)
    model.requires_grad_(True)
    del model.talkers
    model(**batch)[0].backward()
    assert all(p.grad is None for p in [*model.separator.parameters(), *model.ctc.parameters()])


def test_checkpoint_has_what_is_trained_and_nothing_pretrained(model):
    names = model.state_dict().keys()
    assert not any("feature_extractor" in n for n in names)
    assert not any(n.startswith("llm.") and "lora_" not in n and n != "llm.sc_input" for n in names)
    for part in ("encoder.", "downsampler.", "separator.", "ctc.", "projector.", "llm."):
        assert any(n.startswith(part) for n in names)


def test_checkpoints_are_checked_key_by_key(model, options, tmp_path):
    state = model.state_dict()
    torch.save(state, tmp_path / "good.pth")
    other = build_model(options("sop", ["sop"]))
    load_checkpoint(tmp_path / "good.pth", other)
    assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items())

    def fails(change, message):
        bad = dict(state)
        change(bad)
        torch.save(bad, tmp_path / "bad.pth")
        with pytest.raises(UserError, match=message):
            check_checkpoint(tmp_path / "bad.pth", other)

    fails(lambda s: s.pop("projector.weight"), "another model; missing: projector.weight")
    fails(lambda s: s.update(new=torch.zeros(1)), "another model; not in this model: new")
    fails(lambda s: s.update({"projector.bias": torch.zeros(3)}), "projector.bias has shape")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        check_checkpoint(tmp_path / "broken.pth", other)
    with pytest.raises(UserError, match="no such checkpoint"):
        check_checkpoint(tmp_path / "none.pth", other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_conf": {"objective": "sing", "trainable": []}}, "objective: 'sing'"),
        ({"model_conf": {"objective": "sot", "trainable": ["decoder"]}}, "no module 'decoder'"),
        ({"model_conf": {"objective": "sot"}}, "model_conf.trainable is missing"),
        ({"model_conf": {"objective": "sot", "trainable": [], "tap": 4}}, "tap: 4"),
        ({"separator_conf": {"hiden_size": 3}}, "separator_conf: no key 'hiden_size'"),
        ({"llm_conf": {}}, "llm_conf.pretrained is missing"),
        ({"ctc_vocab": "nowhere"}, "nowhere/vocabulary.json: no such file"),
    ],
)
def test_wrong_configuration_is_one_line(options, changes, message):
    with pytest.raises(UserError, match=message) as error:
        build_model(options("sot", [], **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tap", [0, 1, 3])
def test_separator_can_be_fed_from_any_block(options, waves, tap):
    conf = {"objective": "ctc", "trainable": ["separator", "ctc"], "tap": tap}
    model = build_model(options("ctc", [], model_conf=conf)).eval()
    assert isinstance(model, SOPModel)
    loss, _, _ = model(**make_batch(model, waves, TEXTS))
    assert torch.isfinite(loss)


def test_sentencepiece_text_is_tokenized_again_for_the_prompt(options, waves, tmp_path, tiny_llm):
    from espnet2_sop.bin import vocab

    (tmp_path / "text").write_text("".join(f"m{i} RED BOX GO NOW <sc> TAKE THE KEY ONE TWO\n" for i in range(9)))
    (tmp_path / "model.yaml").write_text(f"llm_conf: {{pretrained: {tiny_llm}}}")
    argv = ["--kind", "sentencepiece", "--config", str(tmp_path / "model.yaml"), "--data", str(tmp_path)]
    vocab.main([*argv, "--size", "40", "--out", str(tmp_path / "vocab")])
    model = build_model(options("sop", ["sop"], ctc_vocab=str(tmp_path / "vocab")))
    ids = model.vocabulary.encode("take the box")
    assert model.llm_ids(ids) == model.tokenizer.encode("take the box") != ids
    model(**make_batch(model, waves, [t.lower() for t in TEXTS]))


def test_more_talkers_than_slots_is_an_error(model, waves):
    with pytest.raises(UserError, match="4 talkers, the model has 3 slots"):
        make_batch(model, waves[:1], ["A <sc> B <sc> C <sc> D"])


def test_token_error():
    assert token_error([[1, 2], [], [5]], [[1, 3], [4], []], "cpu").item() == 1.0
