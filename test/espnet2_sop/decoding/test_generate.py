"""If these fail, decoding with a cache, in batches or with a draft writes something else than plain greedy decoding."""

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, MistralConfig, Qwen2Config

from espnet2_sop.decoding.generate import DecodingStatistics, generate
from espnet2_sop.io.errors import UserError
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM
from espnet2_sop.model.llm.key_value_cache import has_plain_cache
from espnet2_sop.model.llm.prompt import PromptBuilder

ROOM = 14


def prompts(llm, tokenizer, number, seed=7):
    """Left-padded prompts of random lengths over random speech, and the same one by one."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    lengths = torch.tensor([rng.randint(2, 9) for _ in range(number)])
    frames = torch.randn(number, 9, 32)
    sop = [[rng.randrange(260, llm.base.config.vocab_size) for _ in range(rng.randint(0, 5))] for _ in range(number)]
    builder = PromptBuilder(tokenizer)
    with torch.no_grad():
        single = [builder.build(llm, frames[i : i + 1], lengths[i : i + 1], sop[i : i + 1]) for i in range(number)]
        return builder.build(llm, frames, lengths, sop), single


def spoil(rng, truth, sc, vocabulary):
    """A draft as no heads would write it worse: perfect, empty, wrong, too long, cut, with `<sc>` anywhere, ..."""
    other = lambda: rng.randrange(2, vocabulary)  # noqa: E731
    kind = rng.randrange(8)
    if kind < 4:
        fixed = ([*truth], [], [other() for _ in truth], truth + [other() for _ in range(rng.randint(1, 60))])
        return fixed[kind]
    draft = [*truth]
    for _ in range(rng.randint(1, 5)):
        place = rng.randint(0, len(draft))
        new = {4: [sc], 5: [other()], 6: [], 7: [1]}[kind]  # 7: an end of sequence inside
        draft[place : place + rng.randint(0, 2)] = new
    return draft


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("kwargs", [{}, {"attn_implementation": "eager"}])
def test_no_draft_changes_the_output(build_llm, tiny_llm, tokenizer, slow_greedy, kwargs):
    """Thousands of drafts, alone and in batches; rows have ends of sequence and rooms of their own."""
    rng = random.Random(11)
    counted, endings = DecodingStatistics(), 0
    for seed in range(4):
        llm = build_llm(tiny_llm, seed=seed, **kwargs)
        together, single = prompts(llm, tokenizer, 6, seed)
        free = [slow_greedy(llm, together, i, -1, ROOM) for i in range(6)]
        eos = free[0][5]  # a token that is written, so that some rows end early and others do not
        vocabulary = llm.base.config.vocab_size
        room = [ROOM - 2 * (i % 3) for i in range(6)]
        truth = [slow_greedy(llm, together, i, eos, n) for i, n in enumerate(room)]
        endings += sum(len(ids) < n for ids, n in zip(truth, room, strict=True))
        assert generate(llm, together, eos, room)[0] == truth
        for _ in range(60):
            drafts = [spoil(rng, ids, llm.sc_id, vocabulary) for ids in truth]
            written, _, took = generate(llm, together, eos, room, drafts=drafts)
            assert written == truth
            counted = sum(took, counted)
        for i in range(6):
            for _ in range(15):
                drafts = [spoil(rng, truth[i], llm.sc_id, vocabulary)]
                assert generate(llm, single[i], eos, [room[i]], drafts=drafts)[0] == [truth[i]]
    assert 0 < endings < 24, "some rows must end early, some must run out of room"
    assert counted.passes < counted.tokens and 0 < counted.accepted < counted.verified


@torch.no_grad()
def test_greedy_is_that_of_transformers(build_llm, tiny_llm, untied_llm, tokenizer):
    """`generate` of transformers with one beam, on the same left-padded prompts."""
    from transformers import GenerationConfig

    for folder in (tiny_llm, untied_llm):
        llm = build_llm(folder)
        inputs, _ = prompts(llm, tokenizer, 5)
        config = GenerationConfig(max_new_tokens=ROOM, do_sample=False, eos_token_id=1, pad_token_id=1)
        expected = llm.base.generate(
            inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config
        )
        expected = [[*ids, 1][: [*ids, 1].index(1)] for ids in expected.tolist()]
        assert generate(llm, inputs, 1, [ROOM] * 5)[0] == expected
        written, _, took = generate(llm, inputs, 1, [ROOM] * 5, drafts=expected)
        assert written == expected
        assert all(count.passes < len(ids) for count, ids in zip(took, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_nothing_is_said_twice_where_that_is_forbidden(build_llm, tiny_llm, tokenizer, beams, ngram):
    """`no_repeat_ngram_size` of transformers, whatever the draft; it changes what is written here."""
    from transformers import GenerationConfig

    llm, rng = build_llm(tiny_llm), random.Random(3)
    inputs, _ = prompts(llm, tokenizer, 5)
    eos, room = 1, [40] * 5
    config = GenerationConfig(max_new_tokens=40, do_sample=False, num_beams=beams, eos_token_id=eos, pad_token_id=eos,
                              no_repeat_ngram_size=ngram)  # fmt: skip
    output = llm.base.generate(inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config)
    expected = [[*ids, eos][: [*ids, eos].index(eos)] for ids in output.tolist()]
    free = generate(llm, inputs, eos, room, beams)[0]
    assert generate(llm, inputs, eos, room, beams, no_repeat_ngram=ngram)[0] == expected != free
    for ids in expected:
        grams = list(zip(*(ids[n:] for n in range(ngram)), strict=False))
        assert len(grams) == len(set(grams))
    for _ in range(20 if beams == 1 else 0):
        drafts = [spoil(rng, ids, llm.sc_id, llm.base.config.vocab_size) for ids in rng.choice((expected, free))]
        assert generate(llm, inputs, eos, room, drafts=drafts, no_repeat_ngram=ngram)[0] == expected


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_log_probs_are_those_of_transformers(build_llm, tiny_llm, tokenizer, beams):
    """`compute_transition_scores` of transformers for the same outputs, with and without drafts, right or wrong."""
    from transformers import GenerationConfig

    llm = build_llm(tiny_llm)
    inputs, _ = prompts(llm, tokenizer, 5)
    eos = generate(llm, inputs, -1, [ROOM] * 5)[0][2][5]  # a token that is written: some rows end early
    config = GenerationConfig(max_new_tokens=ROOM, do_sample=False, num_beams=beams, eos_token_id=eos, pad_token_id=eos,
                              return_dict_in_generate=True, output_scores=True)  # fmt: skip
    output = llm.base.generate(inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config)
    scores = llm.base.compute_transition_scores(
        output.sequences, output.scores, getattr(output, "beam_indices", None), normalize_logits=beams == 1
    )
    drafts = [None, [ids[:4] + [7] + ids[4:] for ids in output.sequences.tolist()], output.sequences.tolist()]
    for draft in drafts if beams == 1 else [None]:
        written, log_probs, _ = generate(llm, inputs, eos, [ROOM] * 5, beams, draft)
        assert beams > 1 or {len(ids) < ROOM for ids in written} == {True, False}
        for ids, own, theirs in zip(written, log_probs, scores.tolist(), strict=True):
            assert own == pytest.approx(theirs[: len(ids)], abs=1e-4) and len(own) == len(ids)


@torch.no_grad()
def test_statistics_count_every_token_once(build_llm, tiny_llm, tokenizer):
    llm = build_llm(tiny_llm)
    inputs, _ = prompts(llm, tokenizer, 3)
    plain, _, took = generate(llm, inputs, 1, [ROOM] * 3)
    assert took == [DecodingStatistics(ROOM, ROOM)] * 3, "without a draft every token takes a pass"
    _, _, took = generate(llm, inputs, 1, [ROOM] * 3, drafts=plain)
    assert all(e.tokens == ROOM == e.passes + e.accepted and e.accepted == e.verified for e in took)


@torch.no_grad()
def test_output_ends_with_the_context(build_llm, tiny_llm, tokenizer, monkeypatch):
    llm = build_llm(tiny_llm)
    inputs, _ = prompts(llm, tokenizer, 3)
    plain, _, _ = generate(llm, inputs, 1, [ROOM] * 3)
    lengths = inputs.mask.sum(1).tolist()
    monkeypatch.setattr(llm.base.config, "max_position_embeddings", max(lengths) + 2)
    expected = [ids[: max(lengths) + 2 - n] for ids, n in zip(plain, lengths, strict=True)]
    assert generate(llm, inputs, 1, [ROOM] * 3, drafts=[[*ids] * 30 for ids in plain])[0] == expected
    assert [len(ids) for ids in generate(llm, inputs, 1, [ROOM] * 3, num_beams=2)[0]] == list(map(len, expected))
    monkeypatch.setattr(llm.base.config, "max_position_embeddings", max(lengths))
    with pytest.raises(UserError, match=rf"has {max(lengths)} positions, the LLM's context only {max(lengths)}"):
        generate(llm, inputs, 1, [ROOM] * 3)


@torch.no_grad()
def test_learned_positions_end_with_the_context(tokenizer, slow_greedy, tmp_path):
    """Where a position beyond the context is an error: padding of shorter rows must not have one."""
    torch.manual_seed(1)
    size = dict(n_embd=32, n_layer=2, n_head=4, initializer_range=0.2)
    config = GPT2Config(vocab_size=len(tokenizer.hf), n_positions=64, bos_token_id=0, eos_token_id=1, **size)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    llm = AdaptedCausalLM(str(tmp_path), tokenizer.sc_id, {"sot": {"r": 4, "target_modules": ["c_attn"]}}).eval()
    inputs, _ = prompts(llm, tokenizer, 4)
    lengths = inputs.mask.sum(1).tolist()
    plain, log_probs, _ = generate(llm, inputs, -1, [ROOM] * 4)
    assert plain == [slow_greedy(llm, inputs, i, -1, ROOM) for i in range(4)]
    context = max(lengths) + 2
    expected = [ids[: context - n] for ids, n in zip(plain, lengths, strict=True)]
    assert len({*map(len, expected)}) > 1, "rows must have rooms of their own"
    drafts = [[*ids[:3], *ids] for ids in plain]  # the longest room ends in a pass over several tokens
    beams = generate(llm, inputs, -1, [len(ids) for ids in expected], num_beams=2)

    llm.base.transformer.wpe.weight = torch.nn.Parameter(llm.base.transformer.wpe.weight[:context])
    llm.base.config.max_position_embeddings = context
    unwritten = min({*range(len(tokenizer.hf))}.difference(*plain))
    for draft in (None, plain, drafts):
        written, found, _ = generate(llm, inputs, unwritten, [ROOM] * 4, drafts=draft)
        assert written == expected
        for own, other in zip(found, log_probs, strict=True):
            assert own == pytest.approx(other[: len(own)], abs=1e-4)
    written, found, _ = generate(llm, inputs, -1, [ROOM] * 4, num_beams=2)
    assert list(map(len, written)) == list(map(len, found)) == list(map(len, expected))
    longest = lengths.index(min(lengths))  # what others write beyond their room may change the choice of their beam
    assert written[longest] == beams[0][longest]
    assert found[longest] == pytest.approx(beams[1][longest], abs=1e-4)


@torch.no_grad()
def test_bf16_with_a_draft_is_greedy_up_to_rounding(build_llm, tiny_llm, tokenizer):
    """In bfloat16 a pass over several tokens rounds otherwise than one over one; most outputs are the same."""
    llm = build_llm(tiny_llm, dtype="bfloat16")
    inputs, _ = prompts(llm, tokenizer, 12)
    plain, _, _ = generate(llm, inputs, 1, [ROOM] * 12)
    written, _, _ = generate(llm, inputs, 1, [ROOM] * 12, drafts=plain)
    assert sum(a == b for a, b in zip(plain, written, strict=True)) >= 6


@torch.no_grad()
def test_beam_of_one_is_greedy_and_wider_beams_score_no_worse(build_llm, tiny_llm, tokenizer):
    llm = build_llm(tiny_llm)
    torch.manual_seed(7)
    frames, lengths = torch.randn(1, 4, 32), torch.tensor([4])
    inputs = PromptBuilder(tokenizer).build(llm, frames, lengths)

    def score(ids):
        rows = PromptBuilder(tokenizer).build(llm, frames, lengths, None, [ids])
        hidden = llm.hidden_states(rows.embeds, rows.mask, rows.positions)
        probs = llm.logits(hidden[rows.label_rows, rows.label_columns]).log_softmax(-1)
        return probs.gather(1, rows.labels[:, None]).sum().item()

    (greedy,), _, _ = generate(llm, inputs, 1, [3])
    (beam,), log_probs, took = generate(llm, inputs, 1, [3], num_beams=300)
    assert score(beam) >= score(greedy)
    assert sum(log_probs[0]) == pytest.approx(score(beam), abs=1e-4)
    assert took == [None]


def test_llms_that_forget_are_not_verified():
    """Their caches have no place for every position; transformers decodes them."""
    assert all(has_plain_cache(config()) for config in (LlamaConfig, Qwen2Config, GPT2Config))
    assert not has_plain_cache(MistralConfig(sliding_window=8))
