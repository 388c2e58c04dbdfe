"""CTC whose tokens are the LLM's own input embeddings: it puts speech frames where the LLM expects words."""

import torch
from torch import nn
from torch.nn import functional as F

MARGIN = 10.0  # log-odds of a token against blank for a frame that lies on its embedding
OTHERS = 2000  # tokens of the vocabulary that compete with those of the targets
START_SCALE = 0.05  # of the weights of a new projector


class EmbeddingCTC(nn.Module):
    """CTC that scores a frame by its distance from embeddings of the LLM.

    A frame x is taken to be drawn from a Gaussian around the embedding e_v of a token v, or around the mean m of all
    embeddings for blank, all of one variance s. Up to a term that all share, its score is

        (x - m) . (e_v - m) / s - |e_v - m|^2 / (2 s)      and 0 for blank,

    so that likely frames lie on the embeddings themselves, and the LLM reads spoken words as it reads written ones. s
    is such that a frame on an embedding of mean size is `MARGIN` better for that token than for blank. The tokens of a
    batch compete with each other and with `OTHERS` tokens of the vocabulary, drawn anew for every batch in training.

    Args:
        embedding: Input embeddings of the LLM (V, D), frozen; they stay the LLM's own.
    """

    def __init__(self, embedding: nn.Embedding):
        super().__init__()
        self.tables = [embedding]  # in a list, so that it is no part of this module
        table = embedding.weight.detach().float()
        mean = table.mean(0)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("variance", (table - mean).square().sum(1).mean() / (2 * MARGIN), persistent=False)

    @torch.no_grad()
    def start(self, projector: nn.Linear) -> None:
        """Makes all frames of a new projector nearly blank; random ones lie far outside of all embeddings."""
        projector.weight.mul_(START_SCALE)
        projector.bias.copy_(self.mean)

    def log_probs(self, frames: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(B, F, D) and the ids (N,) of the tokens that compete -> (B, F, N + 1) float32; blank is the last."""
        with torch.autocast(frames.device.type, enabled=False):  # differences of large numbers
            centred = self.tables[0].weight[tokens].detach().float() - self.mean
            scores = F.linear(frames.float() - self.mean, centred, -centred.square().sum(1) / 2) / self.variance
            return F.pad(scores, (0, 1)).log_softmax(-1)

    def loss(self, frames: torch.Tensor, lengths: torch.Tensor, targets: list[list[int]]) -> torch.Tensor:
        """Negative log-likelihood of each row.

        Args:
            frames: (B, F, D) in the LLM's embedding space.
            lengths: (B,).
            targets: Token ids of each row.

        Returns:
            (B,); 0 where the target needs more frames than there are.
        """
        sizes = torch.tensor([len(target) for target in targets], device=frames.device, dtype=torch.long)
        ids = torch.tensor([token for target in targets for token in target], device=frames.device, dtype=torch.long)
        tokens = torch.cat([ids, self._others().to(ids)]).unique()
        log_probs = self.log_probs(frames, tokens).transpose(0, 1)
        places = torch.searchsorted(tokens, ids)
        return F.ctc_loss(log_probs, places, lengths, sizes, blank=len(tokens), reduction="none", zero_infinity=True)

    def _others(self) -> torch.Tensor:
        size = len(self.tables[0].weight)
        if self.training:
            return torch.randint(size, (OTHERS,))
        return torch.arange(0, size, -(-size // OTHERS))
