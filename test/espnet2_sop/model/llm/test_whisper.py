"""If these fail, Whisper's decoder does not hear what it shall, or decodes something else than plain greedy search."""

import random

import pytest
import torch
from transformers import GenerationConfig, GenerationMixin, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from espnet2_sop.decoding.generate import generate
from espnet2_sop.io.errors import UserError
from espnet2_sop.model.llm.prompt import PromptBuilder
from espnet2_sop.model.llm.whisper import WhisperDecoder

TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
ROOM = 16


@pytest.fixture(scope="module")
def build(tiny_whisper, tokenizer):
    def build(std=0.3, seed=5, **kwargs):
        torch.manual_seed(seed)
        adapters = {name: {"r": 4, "target_modules": TARGETS} for name in ("sot", "sop")}
        llm = WhisperDecoder(tiny_whisper, tokenizer.sc_id, adapters, **kwargs)
        for name in adapters:
            for p in llm.adapter_parameters(name):
                if p is not llm.sc_input:
                    torch.nn.init.normal_(p, std=std)
        llm.activate(list(adapters))
        return llm.eval()

    return build


def batch(llm, tokenizer, number=6, seed=3, targets=None):
    """Prompts over random frames, and the same one by one; behind the end of each row frames are not zero."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    lengths = torch.tensor([rng.randint(3, 12) for _ in range(number)])
    frames = torch.randn(number, 12, llm.hidden_size)
    sop = [[rng.randrange(260, 300) for _ in range(rng.randint(0, 5))] for _ in range(number)]
    builder = PromptBuilder(tokenizer, before_speech="go")
    single = [
        builder.build(llm, frames[i : i + 1, :n], lengths[i : i + 1], sop[i : i + 1], targets and targets[i : i + 1])
        for i, n in enumerate(lengths.tolist())
    ]
    return builder.build(llm, frames, lengths, sop, targets), single


def states(llm, inputs):
    return llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions, speech=inputs.speech)


@torch.no_grad()
def test_without_adapters_it_is_whispers_own_decoder(build, tiny_whisper, tokenizer):
    """Teacher-forced logits of WhisperForConditionalGeneration for the same frames and ids."""
    llm, own = build(std=0.0), WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()
    frames = torch.randn(1, 9, llm.hidden_size)
    target = [270, 280, tokenizer.sc_id, 290, tokenizer.eos_id]
    builder = PromptBuilder(tokenizer, before_speech="go")
    inputs = builder.build(llm, frames, torch.tensor([9]), [[261, 262]], [target])
    ids = torch.tensor([builder.head + [261, 262] + builder.middle + target])
    expected = own(encoder_outputs=(frames,), decoder_input_ids=ids).logits
    torch.testing.assert_close(llm.logits(states(llm, inputs)), expected)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_hears_its_own_frames_alone_and_in_a_batch(build, tokenizer, attention):
    llm = build(attn_implementation=attention)
    targets = [[270 + i, 280, tokenizer.eos_id][i % 2 :] for i in range(6)]
    together, single = batch(llm, tokenizer, targets=targets)
    hidden = states(llm, together)
    for row, one in enumerate(single):
        alone = states(llm, one)[0]
        torch.testing.assert_close(hidden[row, : len(alone)], alone, atol=5e-4, rtol=5e-4)
    other = batch(llm, tokenizer, seed=4, targets=targets)[0].speech
    deaf = llm.hidden_states(together.embeds, together.mask, together.positions, speech=other)
    assert (deaf - hidden).abs().max() > 0.1


@pytest.mark.slow
@torch.no_grad()
def test_batches_caches_and_drafts_change_no_output(build, tokenizer, slow_greedy):
    """Rows end at different times, so that the cache of the frames loses rows, too."""
    rng = random.Random(1)
    endings = 0
    for seed in range(3):
        llm = build(seed=seed)
        together, single = batch(llm, tokenizer, seed=seed)
        eos = slow_greedy(llm, single[0], 0, -1, ROOM)[4]
        room = [ROOM - 3 * (i % 3) for i in range(6)]
        truth = [slow_greedy(llm, one, 0, eos, n) for one, n in zip(single, room, strict=True)]
        endings += sum(len(ids) < n for ids, n in zip(truth, room, strict=True))
        assert len({tuple(ids) for ids in truth}) > 3, "rows must differ, or nothing is tested"
        assert generate(llm, together, eos, room)[0] == truth
        for _ in range(20):
            drafts = [[rng.choice([token, 275]) for token in ids] + [276] * rng.randint(0, 9) for ids in truth]
            assert generate(llm, together, eos, room, drafts=drafts)[0] == truth
    assert endings


@torch.no_grad()
@pytest.mark.parametrize("ngram", [0, 3])
def test_beams_are_those_of_transformers(build, tiny_whisper, tokenizer, ngram):
    """WhisperForConditionalGeneration, without the tokens that it has to suppress, searches one row at a time."""
    llm, own = build(std=0.0), WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()
    suppressed = set(own.generation_config.suppress_tokens)
    together, single = batch(llm, tokenizer)
    eos = 276
    config = GenerationConfig(max_new_tokens=ROOM, num_beams=3, do_sample=False, eos_token_id=eos, pad_token_id=eos,
                              no_repeat_ngram_size=ngram)  # fmt: skip
    expected, scores = [], []
    for one in single:
        ids = torch.cdist(one.embeds[0], llm.base.get_input_embeddings().weight).argmin(1)[None]
        start = ids.size(1)
        own.generation_config = GenerationConfig(decoder_start_token_id=int(ids[0, 0]))  # or one is put before
        frames = BaseModelOutput(one.speech.frames)
        written = GenerationMixin.generate(own, encoder_outputs=frames, decoder_input_ids=ids, generation_config=config)
        row = written[0, start:].tolist()
        expected.append(row[: row.index(eos)] if eos in row else row)
        own_logits = own(encoder_outputs=frames, decoder_input_ids=written).logits[0, start - 1 : -1].log_softmax(-1)
        scores.append([float(own_logits[i, token]) for i, token in enumerate(expected[-1])])
    greedy = generate(llm, together, eos, [ROOM] * 6, no_repeat_ngram=ngram)[0]
    assert expected != greedy, "or beams are not tested"
    assert suppressed & {token for row in expected for token in row}, "or Whisper's own settings are not"
    ids, log_probs, _ = generate(llm, together, eos, [ROOM] * 6, 3, no_repeat_ngram=ngram)
    assert ids == expected
    for found, score in zip(log_probs, scores, strict=True):
        assert found == pytest.approx(score, abs=1e-3)
    alone = [generate(llm, one, eos, [ROOM], 3, no_repeat_ngram=ngram)[0][0] for one in single]
    assert alone == expected


@torch.no_grad()
def test_output_ends_with_whispers_positions(build, tokenizer):
    llm = build()
    _, single = batch(llm, tokenizer)
    used = int(single[0].mask.sum())
    assert len(generate(llm, single[0], -1, [1000])[0][0]) == 200 - used


def test_the_projector_starts_as_the_identity(build):
    frames = torch.randn(2, 3, 24)
    assert torch.equal(build().new_projector(24)(frames), frames)


def test_what_it_cannot_do_is_one_line(build, tiny_llm, tokenizer):
    with pytest.raises(UserError, match=r"is a llama model, no Whisper; leave out llm: whisper"):
        WhisperDecoder(tiny_llm, tokenizer.sc_id, {"sot": {}, "sop": {}})
    with pytest.raises(UserError, match=r"attn_implementation: 'flash_attention_2'"):
        build(attn_implementation="flash_attention_2")
