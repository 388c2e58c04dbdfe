"""What the Separator's streams of a mixture shall be: what the model makes of each talker alone."""

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from espnet2_sop.model.front_end import FrontEnd


def stream_loss(front_end: FrontEnd, streams: list[torch.Tensor], talkers: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Squared distance of the streams of mixtures from those of their talkers alone.

    CTC tells of a talker as many times as he says tokens, and not when; this tells of every frame what it should be.
    The target is the first stream of the model as it is now, without dropout and without gradient, for the talker's
    part of the time by itself: single talkers train that stream. Both are brought to zero mean and unit variance over
    their width, so that neither can become small to be close to the other.

    Args:
        front: The model.
        streams: S tensors (B, F, D) of the mixtures.
        talkers: (B, T, S) float, 16 kHz, each talker alone, exactly zero before his start and after his end.

    Returns:
        Sum over the mixtures of two or more talkers, and how many they are. Of a mixture it is the mean over the slots,
        as of CTC losses, of the sum over frames of the mean squared difference.
    """
    size = front_end.samples_per_frame
    heard = (talkers != 0).transpose(1, 2)  # B, S, T
    rows, slots = torch.nonzero(heard.any(2) & (heard.any(2).sum(1, keepdim=True) > 1), as_tuple=True)
    if not len(rows):
        return streams[0].new_zeros(()), 0
    active = heard[rows, slots].int()
    starts = active.argmax(1) // size  # frame in which the talker starts
    ends = active.size(1) - active.flip(1).argmax(1)
    speech = [talkers[r, a * size : e, s] for r, s, a, e in zip(rows, slots, starts, ends, strict=True)]
    wanted, lengths = alone(front_end, speech)
    total = streams[0].new_zeros(())
    for row, slot, start, target, n in zip(rows, slots, starts, wanted, lengths, strict=True):
        found = streams[slot][row, start : start + n]
        total = total + F.mse_loss(normed(found), normed(target[: len(found)]), reduction="sum") / found.size(-1)
    return total / len(streams), len(rows.unique())


@torch.no_grad()
def alone(front_end: FrontEnd, speech: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """First streams (N, F, D) of waveforms of single talkers, each (T_i,), and their lengths (N,)."""
    lengths = torch.tensor([len(wave) for wave in speech], device=speech[0].device)
    training = front_end.training
    front_end.eval()
    encoded = front_end.encode(pad_sequence(speech, batch_first=True), lengths, for_llm=False)
    streams, frames = front_end.streams(encoded)
    front_end.train(training)
    return streams[0], frames


def normed(stream: torch.Tensor) -> torch.Tensor:
    """(F, D) -> the same with zero mean and unit variance of each frame."""
    return F.layer_norm(stream, stream.shape[-1:])
