"""CTC over the LLM's input embeddings: the loss of stage 0, which moves projected frames to the embeddings of words."""

import torch
from torch import nn
from torch.nn import functional as F

MARGIN = 10.0  # log-odds of a token against blank for a frame that lies on its embedding
OTHERS = 2000  # tokens of the vocabulary that compete with those of the targets
START_SCALE = 0.05  # of the weights of a new projector


class EmbeddingCTC(nn.Module):
    """CTC that scores a frame by its distance from embeddings of the LLM.

    The model of a frame x is a Gaussian around the embedding e_v of a token v, or around the mean m of all embeddings
    for blank, all with variance s. Up to a term that all share, the score of a token is

        (x - m) . (e_v - m) / s - |e_v - m|^2 / (2 s)      and 0 for blank,

    so that likely frames lie on the embeddings, and the LLM reads spoken words as it reads written ones. With this s, a
    frame on an embedding at mean distance from m has the log-odds `MARGIN` of its token against blank. The tokens of a
    batch compete with each other and with `OTHERS` tokens of the vocabulary, in training drawn for every batch.

    Args:
        embedding: Input embeddings of the LLM (V, D), frozen; they stay a module of the LLM.
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
        """Moves the output of a new projector to the mean of the embeddings, that is to blank."""
        projector.weight.mul_(START_SCALE)
        projector.bias.copy_(self.mean)

    def log_probs(self, frames: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of tokens and blank.

        Args:
            frames: (B, F, D) in the LLM's embedding space.
            tokens: (N,) ids of the tokens that compete.

        Returns:
            (B, F, N + 1) float32; blank is the last.
        """
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
