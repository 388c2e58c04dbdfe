import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM
from espnet2_sop.model.llm.prompt import PromptBuilder, corrupt
from espnet2_sop.text.llm_tokenizer import LLMTokenizer, join

SC = "<|reserved_special_token_0|>"


@pytest.fixture
def llm(build_llm, tiny_llm):
    return build_llm(tiny_llm)


def forward(llm, ids):
    ids = torch.tensor([ids])
    mask, positions = torch.ones_like(ids, dtype=torch.bool), torch.arange(ids.size(1))[None]
    return llm.logits(llm.hidden_states(llm.embed(ids), mask, positions))


# ------------------------------------------------------------------ tokenizer


def test_a_word_has_the_same_ids_everywhere(tokenizer):
    """The prompt can only be copied if a talker's words have one spelling in ids, first talker or not."""
    one, two = tokenizer.encode("red box"), tokenizer.encode("go now")
    ids = tokenizer.encode_serialized("red box <sc> go now")
    assert ids == [*one, tokenizer.sc_id, *two, tokenizer.eos_id]


@given(st.lists(st.text("abc de'fé", max_size=8), max_size=4))
def test_serialized_round_trip(tokenizer, talkers):
    talkers = [" ".join(t.split()) for t in talkers if t.split()]
    text = " <sc> ".join(talkers)
    assert tokenizer.decode_serialized(tokenizer.encode_serialized(text)) == text


@given(st.lists(st.sampled_from(["red", "box", "purple", "a"]), min_size=1, max_size=6))
def test_word_starts_give_the_words_back(tokenizer, words):
    ids = tokenizer.encode(" ".join(words))
    starts = [i for i, token in enumerate(ids) if tokenizer.starts_word(token)]
    assert [tokenizer.decode(ids[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)] == words


def test_split_is_the_inverse_of_encode_serialized(tokenizer):
    one, two = tokenizer.encode("red box"), tokenizer.encode("go now")
    assert tokenizer.split(tokenizer.encode_serialized("red box <sc> go now")) == [one, two]
    assert tokenizer.split([]) == [[]]


def test_decoding_ends_at_the_first_end_of_sequence_and_drops_empty_talkers(tokenizer):
    red, sc, eos = tokenizer.encode("red"), tokenizer.sc_id, tokenizer.eos_id
    assert tokenizer.decode_serialized([sc, *red, sc, sc, *red, eos, *red]) == "red <sc> red"
    assert tokenizer.decode_serialized([]) == ""


def test_output_cannot_leave_its_line(tokenizer):
    """An LLM may write a line break or a tab; a Kaldi text file must stay one line per mixture."""
    ids = tokenizer.hf.encode(" red\n\tbox\u2028 go", add_special_tokens=False)
    assert tokenizer.decode_serialized(ids) == "red box go"


def test_join_leaves_no_trace_of_empty_slots():
    assert join([[1], [], [2, 3]], 9) == [1, 9, 2, 3]
    assert join([[], [2]], 9) == [2]
    assert join([[], []], 9) == []


def test_unknown_speaker_change_token(tiny_llm):
    with pytest.raises(UserError, match="has no token '<sc>'"):
        LLMTokenizer(tiny_llm, speaker_change="<sc>")


# ------------------------------------------------------------------------ LLM


def test_adapters_add_up_as_lora_says(llm, tiny_llm):
    """With `sot` and `sop` active every projection is W + B_sot A_sot s + B_sop A_sop s, computed here by hand."""
    from transformers import LlamaForCausalLM

    llm.activate(["sot", "sop"])
    reference = LlamaForCausalLM.from_pretrained(tiny_llm).eval()
    state, scaling = llm.state_dict(), 32 / 4
    for name, weight in reference.named_parameters():
        if "_proj.weight" in name and ".self_attn." in name:
            key = f"peft.base_model.model.{name.removesuffix('.weight')}"
            for adapter in ("sot", "sop"):
                a, b = (state[f"{key}.lora_{ab}.{adapter}.weight"] for ab in "AB")
                weight.data += scaling * b @ a
    reference.get_input_embeddings().weight.data[llm.sc_id] = llm.sc_input
    ids = [0, 270, llm.sc_id, 280, 290]
    expected = reference(input_ids=torch.tensor([ids])).logits
    torch.testing.assert_close(forward(llm, ids), expected, atol=1e-4, rtol=1e-3)
    llm.activate(["sot"])
    assert not torch.allclose(forward(llm, ids), expected, atol=1e-2)


@torch.no_grad()
def test_merged_adapters_give_the_same_and_are_taken_out_again(llm):
    ids = [0, 270, llm.sc_id, 280, 290]
    weights = {name: p.clone() for name, p in llm.named_parameters()}
    llm.activate(["sot"])
    sot = forward(llm, ids)
    llm.activate(["sot", "sop"])
    both = forward(llm, ids)
    for _ in range(2):  # twice is once
        llm.merge()
    assert any(not torch.equal(p, weights[name]) for name, p in llm.named_parameters())
    torch.testing.assert_close(forward(llm, ids), both, atol=1e-5, rtol=1e-5)
    llm.activate(["sot"])
    torch.testing.assert_close(forward(llm, ids), sot, atol=1e-5, rtol=1e-5)
    for name, p in llm.named_parameters():
        torch.testing.assert_close(p, weights[name], atol=1e-6, rtol=0)


def test_adapters_of_a_bfloat16_llm_stay_apart(build_llm, tiny_llm):
    llm = build_llm(tiny_llm, dtype="bfloat16")
    weights = [p.clone() for p in llm.parameters()]
    llm.merge()
    assert all(map(torch.equal, llm.parameters(), weights))


def test_untied_output_row_is_trained_too(build_llm, untied_llm):
    llm = build_llm(untied_llm)
    assert llm.sc_output is not None
    llm.sc_input.requires_grad_(True)
    llm.sc_output.requires_grad_(True)
    forward(llm, [0, llm.sc_id, 270])[0, -1, llm.sc_id].backward()
    assert llm.sc_input.grad.any() and llm.sc_output.grad.any()


def test_tied_row_serves_input_and_output(llm):
    assert llm.sc_output is None
    hidden = torch.randn(2, 3, 32)
    scores = llm.logits(hidden)
    torch.testing.assert_close(scores[..., llm.sc_id], hidden @ llm.sc_input)
    others = [i for i in range(scores.size(-1)) if i != llm.sc_id]
    expected = hidden @ llm.base.get_input_embeddings().weight.T
    torch.testing.assert_close(scores[..., others], expected[..., others])


def test_state_dict_has_no_base_weights_and_loads_strictly(build_llm, tiny_llm, llm):
    state = llm.state_dict()
    assert state and all("lora_" in k or k == "sc_input" for k in state)
    other = build_llm(tiny_llm, seed=6)
    other.load_state_dict(state)
    ids = [0, 270, 280]
    torch.testing.assert_close(forward(other, ids), forward(llm, ids))
    del state["sc_input"]
    with pytest.raises(RuntimeError, match="sc_input"):
        other.load_state_dict(state)


def test_bf16_base_survives_a_cast_of_the_whole_model(build_llm, tiny_llm):
    llm = build_llm(tiny_llm, dtype="bfloat16").to(torch.float32)
    assert llm.base.get_input_embeddings().weight.dtype == torch.bfloat16
    assert llm.sc_input.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in llm.adapter_parameters("sop"))


def test_unknown_dtype_and_attention(build_llm, tiny_llm):
    with pytest.raises(UserError, match="llm_conf.dtype: 'int8' is not"):
        build_llm(tiny_llm, dtype="int8")
    with pytest.raises(UserError, match="llm_conf.attn_implementation: 'magic' is not one of sdpa, eager"):
        build_llm(tiny_llm, attn_implementation="magic")


def test_attention_implementations_agree(build_llm, tiny_llm):
    ids = [0, 270, 280, 290]
    eager, sdpa = (build_llm(tiny_llm, attn_implementation=name) for name in ("eager", "sdpa"))
    assert (eager.base.config._attn_implementation, sdpa.base.config._attn_implementation) == ("eager", "sdpa")
    torch.testing.assert_close(forward(eager, ids), forward(sdpa, ids), atol=1e-5, rtol=1e-4)


def test_adapter_parameters_are_disjoint(llm):
    sot, sop = ({id(p) for p in llm.adapter_parameters(name)} for name in ("sot", "sop"))
    assert not sot & sop and id(llm.sc_input) in sot and id(llm.sc_input) not in sop
    assert len(sop) == 2 * 4 * 2  # A and B of q, k, v, o in two layers


# --------------------------------------------------------------------- prompt


def speech(lengths, width=32):
    torch.manual_seed(7)
    return torch.randn(len(lengths), max(lengths), width), torch.tensor(lengths)


def test_row_is_bos_sop_speech_text(llm, tokenizer):
    """The row is put together here by hand; padding and labels must follow."""
    frames, lengths = speech([3, 5])
    sop = [tokenizer.encode("red"), []]
    targets = [tokenizer.encode_serialized("red"), tokenizer.encode_serialized("go <sc> now")]
    inputs = PromptBuilder(tokenizer).build(llm, frames, lengths, sop, targets)
    for i, n in enumerate(lengths):
        parts = [llm.embed(torch.tensor([tokenizer.hf.bos_token_id, *sop[i]])), frames[i, :n]]
        row = torch.cat([*parts, llm.embed(torch.tensor(targets[i]))])
        assert inputs.mask[i].tolist() == [True] * len(row) + [False] * (inputs.mask.size(1) - len(row))
        torch.testing.assert_close(inputs.embeds[i, : len(row)], row)
        columns = inputs.label_columns[inputs.label_rows == i]
        assert columns.tolist() == list(range(len(row) - len(targets[i]) - 1, len(row) - 1))
    assert inputs.labels.tolist() == targets[0] + targets[1]


def test_loss_equals_full_logits_with_ignored_labels(llm, tokenizer):
    """Logits at label positions only must give transformers' own shifted loss over whole padded rows."""
    frames, lengths = speech([4, 2, 6])
    targets = [tokenizer.encode_serialized(t) for t in ("red box <sc> go", "now", "one two three")]
    inputs = PromptBuilder(tokenizer).build(llm, frames, lengths, [[270], [], [271, 272]], targets)
    hidden = llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions)
    logits = llm.logits(hidden[inputs.label_rows, inputs.label_columns])
    loss = torch.nn.functional.cross_entropy(logits, inputs.labels)
    labels = torch.full(inputs.mask.shape, -100)
    labels[inputs.label_rows, inputs.label_columns + 1] = inputs.labels
    full = llm.peft(inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), labels=labels)
    torch.testing.assert_close(loss, full.loss, atol=1e-5, rtol=1e-5)


def test_separator_of_the_prompt(tokenizer):
    slots = [[5, 6], [], [7]]
    assert PromptBuilder(tokenizer).sop_ids(slots) == [5, 6, tokenizer.sc_id, 7]
    assert PromptBuilder(tokenizer, sop_separator=False).sop_ids(slots) == [5, 6, 7]


def test_chat_style_puts_everything_in_the_users_turn(llm, tokenizer):
    builder = PromptBuilder(tokenizer, "chat", "write: ", before_speech="[", after_speech="]")
    text = tokenizer.hf.decode(builder.head + builder.middle + builder.tail)
    assert text == "<|begin_of_text|>user: write: []\nassistant:"
    frames, lengths = speech([2])
    inputs = builder.build(llm, frames, lengths, [[270]])
    assert inputs.mask.sum() == len(builder.head) + 1 + len(builder.middle) + 2 + len(builder.tail)


def test_chat_prompt_is_the_same_every_day(tokenizer, monkeypatch):
    """Llama 3 writes today's date into its template unless it is given one: training and decoding would differ."""
    template = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    monkeypatch.setattr(tokenizer.hf, "chat_template", template + "{{ date_string }} {{ messages[0].content }}")
    assert tokenizer.hf.decode(PromptBuilder(tokenizer, "chat", "write").head) == "26 Jul 2024 write"


def test_unknown_style(tokenizer):
    with pytest.raises(UserError, match="prompt_conf.style: 'poem'"):
        PromptBuilder(tokenizer, "poem")


@settings(max_examples=60)
@given(st.lists(st.integers(10, 40), max_size=20), st.integers(0, 10**6))
def test_corruption_keeps_to_the_prompts_tokens(ids, seed):
    spoiled = corrupt(ids, 0.5, torch.Generator().manual_seed(seed))
    assert set(spoiled) <= set(ids) and len(spoiled) <= len(ids)
    assert corrupt(ids, 0.0) == ids


def test_corruption_rate():
    """About 30 % of the tokens are hit; dropped ones are a third of them."""
    ids = list(range(30000))
    spoiled = corrupt(ids, 0.3, torch.Generator().manual_seed(0))
    assert len(spoiled) == pytest.approx(30000 * 0.9, rel=0.02)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"target_modules": ["query_key_value"]}, "llm_conf.adapters: PEFT refuses them .*query_key_value"),
        ({"rank": 4}, "llm_conf.adapters.*'rank'"),
    ],
)
def test_wrong_adapters_are_one_line(tiny_llm, conf, message):
    with pytest.raises(UserError, match=message) as error:
        AdaptedCausalLM(tiny_llm, 2, {"sot": conf})
    assert "\n" not in str(error.value)
