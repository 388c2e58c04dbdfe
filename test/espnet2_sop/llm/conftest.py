"""A tiny LLM whose adapters do something."""

import pytest


@pytest.fixture(scope="package")
def tokenizer(tiny_llm):
    from espnet2_sop.llm.tokenizer import LLMTokenizer

    return LLMTokenizer(tiny_llm)


@pytest.fixture(scope="package")
def build_llm(tokenizer):
    """Builds an LLM with two active adapters of random weights: build_llm(folder, seed, **options of the class)."""
    import torch

    from espnet2_sop.llm.causal_lm import AdaptedCausalLM

    def build(folder, seed=5, **kwargs):
        torch.manual_seed(seed)
        llm = AdaptedCausalLM(folder, tokenizer.sc_id, {"sot": {"r": 4}, "sop": {"r": 4}}, **kwargs)
        for name in ("sot", "sop"):
            for p in llm.adapter_parameters(name):
                torch.nn.init.normal_(p, std=0.3)
        llm.activate(["sot", "sop"])
        return llm.eval()

    return build


@pytest.fixture(scope="package")
def slow_greedy():
    """Greedy decoding without cache and batch: slow_greedy(llm, inputs, row, eos, steps) gives the ids of a row."""
    import torch

    def write(llm, inputs, row, eos, steps):
        embeds, speech = inputs.embeds[row, inputs.mask[row]][None], inputs.speech and inputs.speech.rows([row])
        ids = []
        for _ in range(steps):
            mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
            hidden = llm.hidden_states(embeds, mask, torch.arange(embeds.size(1))[None], speech=speech)
            token = int(llm.logits(hidden[:, -1]).argmax())
            if token == eos:
                break
            ids.append(token)
            embeds = torch.cat([embeds, llm.embed(torch.tensor([[token]]))], 1)
        return ids

    return write
