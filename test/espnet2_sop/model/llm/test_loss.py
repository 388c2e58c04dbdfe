"""If these fail, training learns from another loss than the cross entropy of its labels, or fills the memory."""

import pytest
import torch
from torch.nn import functional as F

from espnet2_sop.model.llm import loss
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM


@pytest.fixture(params=["tied", "untied"])
def llm(request, tiny_llm, untied_llm):
    """The row of `<sc>` is a parameter of its own, of the input or of the output."""
    torch.manual_seed(0)
    llm = AdaptedCausalLM(tiny_llm if request.param == "tied" else untied_llm, sc_id=2, adapters={"sot": {}})
    for p in (llm.sc_input, llm.sc_output):
        if p is not None:
            torch.nn.init.normal_(p.requires_grad_())
    return llm


def gradients(llm, hidden, total):
    given = [p for p in (hidden, llm.sc_input, llm.sc_output) if p is not None]
    return torch.autograd.grad(0.3 * total, given, allow_unused=True)


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_in_parts_it_is_the_cross_entropy_with_its_gradients(llm, rows, monkeypatch):
    monkeypatch.setattr(loss, "LOGITS", rows * llm.base.config.vocab_size)
    hidden = torch.randn(10, llm.hidden_size, requires_grad=True)
    labels = torch.randint(llm.base.config.vocab_size, (10,))
    labels[3] = 2  # <sc>
    logits = llm.logits(hidden).float()
    labels[5] = logits[5].argmax()
    expected = F.cross_entropy(logits, labels, reduction="sum")
    total, correct = loss.label_loss(llm, hidden, labels)
    torch.testing.assert_close(total, expected)
    assert correct == (logits.argmax(-1) == labels).sum() > 0
    for one, two in zip(gradients(llm, hidden, total), gradients(llm, hidden, expected), strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            assert one.any()
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_without_gradients_nothing_is_kept(llm):
    hidden, labels = torch.randn(4, llm.hidden_size), torch.zeros(4, dtype=torch.long)
    with torch.no_grad():
        total, _ = loss.label_loss(llm, hidden, labels)
    assert not total.requires_grad
    llm.requires_grad_(False)
    assert not loss.label_loss(llm, hidden, labels)[0].requires_grad


def test_half_precision_keeps_its_dtype(llm):
    """What autocast gives the output layer."""
    hidden = torch.randn(4, llm.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = loss.label_loss(llm, hidden, torch.arange(4))
    total.backward()
    assert total.dtype == torch.float32 and hidden.grad.dtype == torch.bfloat16
