"""Serialized CTC: one head per talker slot, slot i bound to the talker who starts i-th."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TalkerTokens:
    """Greedy CTC output of one talker slot.

    Attributes:
        tokens: Token ids.
        frames: Frame index at which each token begins.
        confidences: Mean probability of each token over its frames, 0 to 1.
    """

    tokens: list[int]
    frames: list[int]
    confidences: list[float]

    def words(self, starts_word: Callable[[int], bool]) -> list[tuple[list[int], float]]:
        """Groups the tokens by words.

        Args:
            starts_word: Tells whether a token begins a word.

        Returns:
            For each word its tokens and the lowest of their confidences.
        """
        groups: list[tuple[list[int], float]] = []
        for token, confidence in zip(self.tokens, self.confidences, strict=True):
            if groups and not starts_word(token):
                tokens, lowest = groups[-1]
                groups[-1] = [*tokens, token], min(lowest, confidence)
            else:
                groups.append(([token], confidence))
        return groups


class SerializedCTC(nn.Module):
    """Linear CTC heads over the Separator's streams.

    No permutation is searched: targets come in order of the talkers' starts. A slot without a talker has the
    empty target, so the number of talkers is read off the output.

    Args:
        input_size: Width of the streams.
        vocab_size: Number of tokens without blank; blank is the index behind them.
        num_talkers: Number of talker slots S.
    """

    def __init__(self, input_size: int, vocab_size: int, num_talkers: int = 3):
        super().__init__()
        self.blank = vocab_size
        self.heads = nn.ModuleList(nn.Linear(input_size, vocab_size + 1) for _ in range(num_talkers))

    def forward(self, streams: list[torch.Tensor]) -> list[torch.Tensor]:
        """S tensors (B, F, D) -> S tensors of log-probabilities (B, F, vocab_size + 1), float32."""
        return list(self.one_by_one(streams))

    def one_by_one(self, streams: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The same, each computed when it is asked for: with a large vocabulary one of them fills gigabytes."""
        for head, stream in zip(self.heads, streams, strict=True):
            yield head(stream).float().log_softmax(-1)

    def loss(
        self, log_probs: list[torch.Tensor], lengths: torch.Tensor, targets: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """CTC loss of each mixture and slot.

        Args:
            log_probs: S tensors (B, F, V + 1).
            lengths: (B,) frames.
            targets: For each slot token ids (B, U) and lengths (B,); length 0 is a slot without a talker.

        Returns:
            (B, S) negative log-likelihoods, and (B, S) bool, True where a target needs more frames than
            there are; such an entry has loss 0 and trains nothing, so count it.
        """
        losses, impossible = [], []
        for probs, (ids, ids_lengths) in zip(log_probs, targets, strict=True):
            nll = F.ctc_loss(
                probs.transpose(0, 1), ids, lengths, ids_lengths, blank=self.blank, reduction="none", zero_infinity=True
            )
            losses.append(nll)
            impossible.append(frames_needed(ids, ids_lengths) > lengths)
        return torch.stack(losses, 1), torch.stack(impossible, 1)

    @torch.no_grad()
    def greedy(self, log_probs: Iterable[torch.Tensor], lengths: torch.Tensor) -> list[list[TalkerTokens]]:
        """Best path of each slot.

        Args:
            log_probs: S tensors (B, F, V + 1).
            lengths: (B,) frames.

        Returns:
            B lists of S outputs in slot order.
        """
        slots = []
        for probs in log_probs:
            best, ids = probs.max(-1)
            rows = zip(ids.tolist(), best.exp().tolist(), lengths.tolist(), strict=True)
            slots.append([collapse(row[:n], conf[:n], self.blank) for row, conf, n in rows])
        return [list(row) for row in zip(*slots, strict=True)]


def collapse(ids: list[int], confidences: list[float], blank: int) -> TalkerTokens:
    """Merges runs of one id and drops blanks; a blank between two equal tokens keeps both."""
    tokens, frames, runs = [], [], []
    previous = blank
    for frame, (token, confidence) in enumerate(zip(ids, confidences, strict=True)):
        if token != blank:
            if token != previous:
                tokens.append(token)
                frames.append(frame)
                runs.append([])
            runs[-1].append(confidence)
        previous = token
    return TalkerTokens(tokens, frames, [sum(run) / len(run) for run in runs])


def frames_needed(targets: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Fewest frames that can carry each target: its length and a blank between equal neighbours.

    Args:
        targets: (B, U) ids.
        lengths: (B,).

    Returns:
        (B,) frames.
    """
    if targets.size(1) < 2:
        return lengths
    pairs = torch.arange(1, targets.size(1), device=targets.device)[None, :] < lengths[:, None]
    return lengths + ((targets[:, 1:] == targets[:, :-1]) & pairs).sum(1)
