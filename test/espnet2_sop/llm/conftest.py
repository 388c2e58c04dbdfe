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
