"""Cross entropy over a large vocabulary without all its logits in memory."""

import torch
from torch.nn import functional as F

from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM

LOGITS = 2**24  # in memory at a time: 64 MiB of float32, some times over


def label_loss(llm: AdaptedCausalLM, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the cross entropy of labels, and how many of them are the most likely token.

    The output layer goes through the labels part by part, and each part's gradient is taken at once, so that its logits
    can be forgotten: nothing is computed twice, and the memory does not grow with the number of labels.

    Args:
        llm: Its output layer makes the logits.
        hidden: (N, hidden_size) at the label positions.
        labels: (N,) long.

    Returns:
        Sum () float32, count () long.
    """
    trained = [p for p in llm.output_parameters() if p.requires_grad]
    return _LabelLoss.apply(llm, labels, hidden, *trained)


class _LabelLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, llm, labels, hidden, *trained):
        learns = any(ctx.needs_input_grad)
        size = max(1, LOGITS // llm.base.config.vocab_size)
        total = torch.zeros([], device=hidden.device)
        correct = torch.zeros([], dtype=torch.long, device=hidden.device)
        parts, sums = [], [torch.zeros_like(p) for p in trained]
        for rows, wanted in zip(hidden.split(size), labels.split(size), strict=True):
            with torch.set_grad_enabled(learns):
                rows = rows.detach().requires_grad_(learns)
                logits = llm.logits(rows).float()
                loss = F.cross_entropy(logits, wanted, reduction="sum")
            total += loss.detach()
            correct += (logits.detach().argmax(-1) == wanted).sum()
            if learns:
                part, *others = torch.autograd.grad(loss, [rows, *trained], allow_unused=True)
                parts.append(part)
                sums = [s if o is None else s + o for s, o in zip(sums, others, strict=True)]
        ctx.save_for_backward(*([torch.cat(parts), *sums] if parts else []))
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    def backward(ctx, gradient, _):
        return None, None, *(gradient.to(saved.dtype) * saved for saved in ctx.saved_tensors)
