"""Serialized CTC: one head per talker slot, slot i bound to the talker who starts i-th."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_sop.text.ctm import TimedWord
from espnet2_sop.text.vocabulary import TalkerVocabulary


@dataclass(frozen=True)
class TalkerTokens:
    """Greedy CTC output of one slot.

    Attributes:
        tokens: Token ids.
        frames: Frame index at which each token begins.
        confidences: Mean probability of each token over its frames, 0 to 1.
    """

    tokens: list[int]
    frames: list[int]
    confidences: list[float]

    def words(self, starts_word: Callable[[int], bool]) -> list["TalkerTokens"]:
        """Cuts the tokens into words.

        Args:
            starts_word: Tells whether a token begins a word.
        """
        starts = [i for i, token in enumerate(self.tokens) if i == 0 or starts_word(token)]
        return [
            TalkerTokens(self.tokens[a:b], self.frames[a:b], self.confidences[a:b])
            for a, b in pairwise([*starts, len(self.tokens)])
        ]

    @property
    def confidence(self) -> float:
        """The lowest confidence of the tokens."""
        return min(self.confidences)


class SerializedCTC(nn.Module):
    """Linear CTC heads over the Separator's streams.

    No permutation is searched: targets are in order of the talkers' starts. The target of a slot without a talker is
    empty, so the number of non-empty slots is the number of talkers.

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
        """The same, one at a time: with a large vocabulary each takes gigabytes."""
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
            there are; such an entry has loss 0 and no gradient.
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
    """Merges runs of one id and drops blanks; a blank between two equal tokens keeps both.

    Args:
        ids: Best id of each frame.
        confidences: Its probability.
        blank: Id of blank.

    Returns:
        The tokens.
    """
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


def timed_words(slots: list[TalkerTokens], vocabulary: TalkerVocabulary, frame_seconds: float) -> tuple[TimedWord, ...]:
    """Words of a mixture with the times of their CTC peaks.

    A word starts with the frame at which its first token begins and lasts to the end of the frame at which its last
    token begins. The time of frame k is k x `frame_seconds`, the centre of its receptive field (for encoders of the
    wav2vec 2.0 family 12.5 ms before it).

    Args:
        slots: Greedy output of the talker slots.
        vocabulary: Of the CTC heads.
        frame_seconds: Time from one frame to the next.

    Returns:
        The words of slot 1, 2, ..., each with the lowest confidence of its tokens. Tokens that spell nothing, such
        as a lone blank, are left out.
    """
    words = []
    for talker, slot in enumerate(slots, 1):
        for tokens in slot.words(vocabulary.starts_word):
            first, last = tokens.frames[0], tokens.frames[-1]
            times = round(first * frame_seconds, 3), round((last - first + 1) * frame_seconds, 3)
            spelled = vocabulary.decode(tokens.tokens).split()
            words += [TimedWord(talker, *times, word, round(tokens.confidence, 2)) for word in spelled]
    return tuple(words)


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
