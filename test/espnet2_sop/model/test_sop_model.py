import numpy as np
import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model
from espnet2_sop.model.ctc.serialized import TalkerTokens
from espnet2_sop.model.objectives import for_all_heads, token_error
from espnet2_sop.model.sop_model import SOPModel
from espnet2_sop.model.stream_loss import stream_loss

STAGES = {
    "align": ["encoder", "downsampler", "separator", "ctc", "projector"],
    "sot": ["encoder", "downsampler", "projector", "sot"],
    "ctc": ["separator", "ctc"],
    "sop": ["sop"],
    "joint": ["encoder", "downsampler", "separator", "ctc", "projector", "sot"],
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


def separate(model, batch):
    """The streams of a batch and their lengths."""
    return model.front_end.streams(model.front_end.encode(batch["speech"], batch["speech_lengths"]))


def parameters(model):
    """(name as in checkpoints, parameter) of all."""
    return [(name.removeprefix("front_end."), p) for name, p in model.named_parameters()]


@pytest.mark.parametrize("objective", STAGES)
def test_each_stage_trains_its_modules_and_no_other(objective, options, waves):
    """After one step exactly the listed modules have moved; the base LLM and the rest have not."""
    torch.manual_seed(0)
    np.random.seed(0)  # transformers draws its masks of time with it
    model = build_model(options(objective, STAGES[objective])).train()
    before = {name: p.detach().clone() for name, p in parameters(model)}
    batch = make_batch(model, waves, TEXTS)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):  # LoRA's A moves only once B is no longer zero
        loss, stats, weight = model(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weight == 3 and stats["loss"] == loss
    moved = {name for name, p in parameters(model) if not torch.equal(p, before[name])}
    prefixes = tuple(f"{name}." for name in STAGES[objective] if name not in ("sot", "sop"))
    for name in before:
        adapter = [a for a in ("sot", "sop") if f".{a}." in name or (a == "sot" and name == "llm.sc_input")]
        expected = name.startswith(prefixes) if prefixes else False
        expected = (expected and "feature_extractor" not in name) or bool(set(adapter) & set(STAGES[objective]))
        if name == "encoder.ssl.masked_spec_embed" or "rel_attn_embed" in name:
            continue  # used only where a mask or a distance happens to fall
        assert (name in moved) == expected, name


def test_row_of_sc_is_trained_in_stage_1_alone(options, tiny_llm):
    """Configurations that are merged come with their keys sorted, `sop` before `sot`."""
    for names in (("sot", "sop"), ("sop", "sot")):
        conf = {"pretrained": tiny_llm, "adapters": {name: {} for name in names}}
        rows = [build_model(options(o, STAGES[o], llm_conf=conf)).llm.sc_input.requires_grad for o in ("sot", "sop")]
        assert rows == [True, False], names


@pytest.mark.parametrize("whisper", [False, True])
@pytest.mark.parametrize("objective", ["sot", "ctc", "sop"])  # joint weighs two means with different counts
def test_loss_of_a_padded_batch_is_that_of_its_rows(objective, whisper, options, whisper_parts, waves):
    """Neither speech, prompt nor text padding may leak into a row's loss."""
    torch.manual_seed(0)
    model = build_model(options(objective, STAGES[objective], **(whisper_parts if whisper else {}))).eval()
    _, stats, _ = model(**make_batch(model, waves, TEXTS))
    if objective == "ctc":
        rows = [model(**make_batch(model, [w], [t]))[0] for w, t in zip(waves, TEXTS, strict=True)]
        torch.testing.assert_close(stats["loss"], torch.stack(rows).mean(0), rtol=1e-4, atol=1e-4)
    else:
        batches = [make_batch(model, [w], [t]) for w, t in zip(waves, TEXTS, strict=True)]
        sums = torch.stack([model(**b)[0] * b["text_lengths"].sum() for b in batches])
        total = sum(b["text_lengths"].sum() for b in batches)
        torch.testing.assert_close(stats["loss"], sums.sum(0) / total, rtol=1e-4, atol=1e-4)


def test_whispers_decoder_reads_the_encoder_itself(options, whisper_parts, waves):
    """It learns the encoder by cross-attention; blocks between encoder and Separator are not on its way."""
    torch.manual_seed(0)
    model = build_model(options("sot", ["encoder", "downsampler", "sot"], **whisper_parts)).train()
    for p in model.llm.adapter_parameters("sot"):
        torch.nn.init.normal_(p, std=0.3)
    batch = make_batch(model, waves, TEXTS)
    found = gradients(model, batch, "encoder.", "downsampler.", "llm.")
    assert {name.partition(".")[0] for name, gradient in found.items() if gradient.any()} == {"encoder", "llm"}
    for attention in (".self_attn.", ".encoder_attn."):
        assert any(gradient.any() for name, gradient in found.items() if attention in name)


def test_heads_learn_with_an_adapter_of_the_encoder_and_the_decoder_keeps_its_frames(options, heads_adapter, waves):
    """After two steps of CTC the adapter's matrices have moved, the encoder's and the loss of the decoder have not."""
    torch.manual_seed(0)
    trainable = ["encoder_heads", "separator", "ctc"]
    model = build_model(options("ctc", trainable, **heads_adapter)).train()
    batch = make_batch(model, waves, TEXTS)

    def losses():
        found = {}
        for objective in ("sot", "ctc"):
            model.eval().use(objective)
            found[objective] = model(**batch)[0].item()
        model.train()
        return found

    before, start = {name: p.detach().clone() for name, p in parameters(model)}, losses()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch)[0].backward()
        optimizer.step()
    moved = {name for name, p in parameters(model) if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith(("separator.", "ctc.")) or ".encoder_heads." in name}
    end = losses()
    assert end["sot"] == start["sot"] and end["ctc"] < start["ctc"]


def test_alignment_counts_single_talkers_only(options, waves):
    """Whatever else is in the batch and however it is padded; a batch without single talkers has the loss 0."""
    torch.manual_seed(0)
    model = build_model(options("align", STAGES["align"])).eval()
    long = [np.tile(wave, 4) for wave in waves]
    texts = ["GO", "TAKE THE KEY", "ONE <sc> TWO"]
    alone = [model(**make_batch(model, [w], [t]))[1]["loss_align"] for w, t in zip(long[:2], texts, strict=False)]
    assert min(alone) > 0
    _, stats, _ = model(**make_batch(model, long, texts))
    torch.testing.assert_close(stats["loss_align"], sum(alone) / 2, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stats["loss"], 0.1 * stats["loss_align"] + 0.9 * stats["loss_ctc"])
    loss, stats, _ = model.train()(**make_batch(model, long[2:], texts[2:]))
    loss.backward()
    assert stats["loss_align"] == 0 and all(p.grad is not None for p in model.projector.parameters())


def marked_model(options, **changes):
    torch.manual_seed(3)
    conf = {"confidence_mark": "?", "confidence_threshold": 0.5}
    return build_model(options("sop", ["sop"], prompt_conf=conf, **changes)).eval()


def test_doubtful_words_are_marked_in_the_prompt(options):
    """The mark stands behind the whole word, once, and not behind sure words."""
    model = marked_model(options)
    ids, mark = model.tokenizer.encode("purple box"), model.tokenizer.hf.encode("?")
    box = model.tokenizer.encode("box")
    assert len(ids) - len(box) > 1, "purple is not in the vocabulary: several tokens"
    doubt = [1.0] * len(ids)
    doubt[1] = 0.4  # within purple
    frames = list(range(len(ids)))
    slots = [TalkerTokens(ids, frames, doubt), TalkerTokens([], [], []), TalkerTokens(box, [0] * len(box), [0.5])]
    (prompt,) = model.sop([slots])
    assert prompt == [*ids[: -len(box)], *mark, *box, model.tokenizer.sc_id, *box]


def test_marks_are_no_errors_of_the_prompt(options, waves):
    """The logged error of the SOP is that of its words, or ablations could not be compared."""
    marked = marked_model(options)
    torch.manual_seed(3)
    plain = build_model(options("sop", ["sop"])).eval()
    plain.load_state_dict(marked.state_dict())
    batch = make_batch(plain, waves, TEXTS)
    (loss, stats, _), (plain_loss, plain_stats, _) = marked(**batch), plain(**batch)
    assert stats["sop_error"] == plain_stats["sop_error"] > 0 and loss != plain_loss


def test_prompt_sources_in_training(options, waves):
    """`reference` is the SOP of heads without mistakes; `none` is no SOP at all."""
    losses = {}
    for source in ("ctc", "reference", "none"):
        torch.manual_seed(3)
        model = build_model(options("sop", ["sop"], prompt_conf={"sop_source": source})).eval()
        for p in model.llm.adapter_parameters("sop"):
            torch.nn.init.normal_(p, std=0.3)
        batch = make_batch(model, waves, TEXTS)
        loss, stats, _ = model(**batch)
        losses[source] = loss.detach()
        assert ("sop_error" in stats) == (source == "ctc")
    split = [[model.tokenizer.encode(words) for words in text.lower().split(" <sc> ")] for text in TEXTS]
    model.front_end.slots = lambda *_: [
        [TalkerTokens(ids, [0] * len(ids), [1.0] * len(ids)) for ids in row] for row in split
    ]
    model.prompt.read_from("ctc")
    perfect, stats, _ = model(**batch)
    assert stats["sop_error"] == 0
    torch.testing.assert_close(losses["reference"], perfect)
    model.front_end.slots = lambda *_: [[] for _ in waves]
    torch.testing.assert_close(losses["none"], model(**batch)[0])
    assert len({float(loss) for loss in losses.values()}) == 3


@pytest.mark.parametrize(("objective", "weight"), [("joint", None), ("joint", 0.6), ("sot", 0.25), ("sop", 0.25)])
def test_hybrid_loss_is_the_weighted_sum_of_its_objectives(objective, weight, options, waves):
    torch.manual_seed(0)
    conf = {"objective": objective, "trainable": [], "ctc_weight": weight}
    model = build_model(options(objective, [], model_conf=conf)).eval()
    batch = make_batch(model, waves, TEXTS)
    hybrid, stats, _ = model(**batch)
    parts = {}
    model.wanted_ctc_weight = None  # each objective alone
    for alone in ("ctc", "sot" if objective == "sot" else "sop"):
        model.use(alone)
        parts[alone] = model(**batch)[0]
    ctc, ce = parts.values()
    share = 0.3 if weight is None else weight
    torch.testing.assert_close(hybrid, (1 - share) * ce + share * ctc)
    torch.testing.assert_close((stats["loss_ce"], stats["loss_ctc"]), (ce, ctc))
    assert {"acc", "ter", "loss_spk3", "too_long"} <= stats.keys()


def gradients(model, batch, *prefixes):
    model.zero_grad()
    model(**batch)[0].backward()
    return {n: p.grad.clone() for n, p in parameters(model) if p.grad is not None and n.startswith(prefixes)}


def test_stop_gradient_leaves_encoder_and_downsampler_to_the_llm(options, waves):
    """With it the encoder gets the gradient of the cross entropy alone, without it that of CTC as well; the
    Separator learns the same in both."""

    def build(**conf):
        torch.manual_seed(0)
        conf = {"objective": "joint", "trainable": STAGES["joint"], **conf}
        return build_model(options("joint", [], model_conf=conf)).eval()

    free, stopped = build(), build(ctc_stop_gradient=True)
    batch = make_batch(free, waves, TEXTS)
    shared, own = ("encoder.", "downsampler."), ("separator.", "ctc.", "projector.", "llm.")
    with_ctc, without = gradients(free, batch, *shared), gradients(stopped, batch, *shared)
    ce_only = build(ctc_weight=0.0)
    for name, gradient in gradients(ce_only, batch, *shared).items():
        torch.testing.assert_close(without[name], 0.7 * gradient, rtol=1e-3, atol=1e-6)
    assert any(not torch.allclose(with_ctc[name], without[name], rtol=1e-2) for name in without)
    for name, gradient in gradients(stopped, batch, *own).items():
        torch.testing.assert_close(gradient, gradients(free, batch, *own)[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("whisper", [False, True])
@pytest.mark.parametrize("objective", ["sot", "sop"])
def test_gradient_checkpoints_change_no_gradient(
    objective, whisper, options, whisper_parts, waves, tiny_encoder, tiny_llm
):
    """In stage 3 nothing before the adapters has a gradient; a checkpoint that needs one would train nothing."""
    found = []
    for flag in (False, True):
        torch.manual_seed(0)
        quiet = {"mask_time_prob": 0.0, "attention_dropout": 0.0, "hidden_dropout": 0.0, "activation_dropout": 0.0}
        quiet |= {"feat_proj_dropout": 0.0, "layerdrop": 0.0}
        silent = {"lora_dropout": 0.0}
        parts = whisper_parts if whisper else {"llm_conf": {"pretrained": tiny_llm, "adapters": {"sot": {}, "sop": {}}}}
        adapters = {name: {**conf, **silent} for name, conf in parts["llm_conf"]["adapters"].items()}
        llm_conf = {**parts["llm_conf"], "gradient_checkpointing": flag, "adapters": adapters}
        encoder_conf = {"pretrained": tiny_encoder, "gradient_checkpointing": flag, "config": quiet}
        changes = {**parts, "llm_conf": llm_conf, "encoder_conf": encoder_conf}
        model = build_model(options(objective, STAGES[objective], **changes)).train()
        found.append(gradients(model, make_batch(model, waves, TEXTS), ""))
    assert found[0].keys() == found[1].keys() and any("lora_B" in name for name in found[0])
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", ["joint", "sop"])
def test_bfloat16_autocast_is_close_to_float32(objective, options, waves, tiny_llm):
    """What `use_amp` does on a GPU, over a bfloat16 LLM: finite gradients for all that is trained, a similar loss."""
    losses = []
    for dtype in ("float32", "bfloat16"):
        torch.manual_seed(0)
        conf = {"pretrained": tiny_llm, "dtype": dtype}
        model = build_model(options(objective, STAGES[objective], llm_conf=conf)).eval()
        batch = make_batch(model, waves, TEXTS)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss, stats, _ = model(**batch)
        loss.backward()
        losses.append(loss.detach())
        trained = {n: p for n, p in parameters(model) if p.requires_grad and p.grad is not None}
        assert trained and all(torch.isfinite(p.grad).all() and p.dtype == torch.float32 for p in trained.values())
    assert losses[0].dtype == losses[1].dtype == torch.float32
    torch.testing.assert_close(*losses, rtol=0.1, atol=0.0)


def test_joint_and_stage_3_share_their_checkpoints(options, waves):
    """A joint run decodes as stage 3: the adapter that it did not train adds nothing."""
    torch.manual_seed(0)
    joint = build_model(options("joint", STAGES["joint"])).eval()
    sop = build_model(options("sop", ["sop"])).eval()
    sop.load_state_dict(joint.state_dict())
    batch = make_batch(joint, waves, TEXTS)
    torch.testing.assert_close(joint(**batch)[1]["loss_ce"], sop(**batch)[0])


def test_talker_count_is_read_off_the_output(model):
    """An empty slot leaves no separator in the prompt."""
    slots = [[TalkerTokens([270], [0], [1.0]), TalkerTokens([], [], []), TalkerTokens([271], [3], [1.0])]]
    assert model.sop(slots) == [[270, model.tokenizer.sc_id, 271]]


def test_the_prompt_changes_the_output_and_has_no_gradient(model, waves):
    batch = make_batch(model, waves, TEXTS)
    with_prompt, stats, _ = model(**batch)
    assert stats["sop_error"] > 0
    model.front_end.slots = lambda *_: [[] for _ in waves]
    without, _, _ = model(**batch)
    assert not torch.allclose(with_prompt, without)
    model.requires_grad_(True)
    del model.front_end.slots
    model(**batch)[0].backward()
    assert all(p.grad is None for p in [*model.front_end.separator.parameters(), *model.front_end.ctc.parameters()])


@pytest.mark.parametrize("tap", [0, 1, 3])
def test_separator_can_be_fed_from_any_block(options, waves, tap):
    conf = {"objective": "ctc", "trainable": ["separator", "ctc"], "tap": tap}
    model = build_model(options("ctc", [], model_conf=conf)).eval()
    assert isinstance(model, SOPModel)
    batch = make_batch(model, waves, TEXTS)
    streams, lengths = separate(model, batch)
    encoded = model.front_end.encoder(batch["speech"], batch["speech_lengths"])
    assert lengths.tolist() == [-(-n // 2**tap) for n in encoded[1].tolist()]
    blocks = [encoded, *model.front_end.downsampler(*encoded)]
    torch.testing.assert_close(streams, model.front_end.separator(*blocks[tap]))
    assert torch.isfinite(model(**batch)[0])


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


def test_accuracy_is_the_share_of_labels_that_are_the_most_likely_token(options, waves):
    """Computed from the logits of the whole row; a label is made the most likely token so that there is one."""
    torch.manual_seed(0)
    model = build_model(options("sot", [])).eval()
    batch = make_batch(model, waves[:1], TEXTS[:1])

    def choices():
        frames, lengths = model.front_end.encode(batch["speech"], batch["speech_lengths"]).llm
        inputs = model.prompt.build(model.llm, model.projector(frames), lengths, None, batch["text"].tolist())
        best = model.llm.logits(model.llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions))[0].argmax(-1)
        return best[-batch["text"].size(1) - 1 : -1]

    batch["text"][0, -1] = choices()[-1]
    right = (choices() == batch["text"][0]).float()
    assert 0 < right.mean() < 1
    torch.testing.assert_close(model(**batch)[1]["acc"].squeeze(), right.mean())


def test_all_heads_write_a_single_talker_and_mixtures_keep_their_slots(options, waves):
    """Targets against a loop over rows; the losses of heads 2 and 3 against torch's CTC of that one row."""
    conf = {"objective": "align", "trainable": STAGES["align"]}
    model = build_model(options("align", [], model_conf=conf | {"all_heads": True})).eval()
    plain = build_model(options("align", [], model_conf=conf)).eval()
    plain.load_state_dict(model.state_dict())
    batch = make_batch(model, waves, TEXTS)
    rows = [
        [batch[f"text_spk{i}"][b, : batch[f"text_spk{i}_lengths"][b]].tolist() for i in (1, 2, 3)] for b in range(3)
    ]
    expected = [[row[0]] * 3 if not row[1] and not row[2] else row for row in rows]
    assert expected[1] == [rows[1][0]] * 3 and expected[::2] == rows[::2]
    given = [(batch[f"text_spk{i}"], batch[f"text_spk{i}_lengths"]) for i in (1, 2, 3)]
    got = for_all_heads(given)
    assert [[ids[b, : n[b]].tolist() for ids, n in got] for b in range(3)] == expected

    with torch.no_grad():
        every, alone = model(**batch)[1], plain(**batch)[1]
        assert every["loss_spk1"] == alone["loss_spk1"] and every["loss_spk2"] != alone["loss_spk2"]
        streams, lengths = separate(model, batch)
        log_probs = model.front_end.ctc(streams)
        ids = torch.tensor(rows[1][0])
        slow = [
            torch.nn.functional.ctc_loss(
                head[1, : lengths[1]],
                ids,
                lengths[1],
                torch.tensor(len(ids)),
                model.front_end.ctc.blank,
                reduction="sum",
            )
            for head in log_probs
        ]
        silent = [alone[f"loss_spk{i}"] * 3 for i in (2, 3)]
        empty = [-head[1, : lengths[1], model.front_end.ctc.blank].sum() for head in log_probs]
    for i in (2, 3):
        change = slow[i - 1] - empty[i - 1]
        torch.testing.assert_close(every[f"loss_spk{i}"] * 3, silent[i - 2] + change, atol=1e-3, rtol=1e-4)


def test_all_heads_need_a_ctc_loss(options, waves):
    with pytest.raises(UserError, match="all_heads: objective sot has no CTC loss here"):
        build_model(options("sot", [], model_conf={"objective": "sot", "trainable": ["sot"], "all_heads": True}))
    model = build_model(options("ctc", [], model_conf={"objective": "ctc", "trainable": ["ctc"], "all_heads": True}))
    batch = make_batch(model.eval(), waves[1:2], TEXTS[1:2])
    streams, lengths = separate(model, batch)
    heads = [
        torch.nn.functional.ctc_loss(
            head[0],
            batch["text_spk1"][0],
            lengths[0],
            batch["text_spk1_lengths"][0],
            model.front_end.ctc.blank,
            reduction="sum",
        )
        for head in model.front_end.ctc(streams)
    ]
    stats = model(**batch)[1]
    torch.testing.assert_close([stats[f"loss_spk{i}"].squeeze() for i in (1, 2, 3)], [h.detach() for h in heads])


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_loss_of_streams_is_added_to_ctc_by_its_weight(options, waves, weight):
    """Mean over the mixtures of several talkers, not over all; `loss_ctc` stays that of CTC alone."""
    conf = {"objective": "ctc", "trainable": ["separator", "ctc"], "stream_weight": weight}
    torch.manual_seed(5)
    model = build_model(options("ctc", [], model_conf=conf)).eval()
    batch = make_batch(model, waves, TEXTS)
    talkers = torch.zeros(3, 16000, 3)
    for row, slot in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1)):
        talkers[row, :8000, slot] = torch.randn(8000)
    with torch.no_grad():
        plain = model(**batch)[0]
        loss, stats, _ = model(**batch, talkers=talkers, talkers_lengths=torch.full((3,), 16000))
        streams, _ = separate(model, batch)
        expected = stream_loss(model.front_end, streams, talkers)[0] / 2
    torch.testing.assert_close(loss, plain + weight * expected)
    if weight:
        torch.testing.assert_close(stats["loss_ctc"], plain)
        torch.testing.assert_close(stats["loss_stream"], expected[None])
