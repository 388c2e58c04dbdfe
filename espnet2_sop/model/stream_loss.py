"""The stream loss (not in the paper): streams of a mixture learn to be those of its talkers alone."""

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from espnet2_sop.model.front_end import FrontEnd


def stream_loss(front_end: FrontEnd, streams: list[torch.Tensor], talkers: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Squared distance of the streams of mixtures from those of their talkers alone.

    CTC constrains how many tokens a talker says, not when; this loss gives a target for every frame. The target of slot
    i is the first stream that the present model, without dropout and without gradient, computes from talker i alone
    between his start and his end; single talkers train that stream. Stream and target are normalised to zero mean and
    unit variance over their width, so that small values do not make the loss small.

    Args:
        front_end: Encodes and separates.
        streams: S tensors (B, F, D) of the mixtures.
        talkers: (B, T, S) float, 16 kHz, each talker alone, exactly zero before his start and after his end.

    Returns:
        Sum () over the mixtures of two or more talkers, and their number. The loss of a mixture is the mean over the
        slots, as in the CTC loss, of the sum over frames of the mean squared difference.
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
    """First streams of single talkers, without dropout and without gradient.

    Args:
        front_end: Encodes and separates.
        speech: N waveforms (T_i,), 16 kHz.

    Returns:
        Streams (N, F, D) and their lengths (N,).
    """
    lengths = torch.tensor([len(wave) for wave in speech], device=speech[0].device)
    training = front_end.training
    front_end.eval()
    encoded = front_end.encode(pad_sequence(speech, batch_first=True), lengths, for_llm=False)
    streams, frames = front_end.streams(encoded)
    front_end.train(training)
    return streams[0], frames


def normed(stream: torch.Tensor) -> torch.Tensor:
    """(F, D) -> the same; every frame has zero mean and unit variance."""
    return F.layer_norm(stream, stream.shape[-1:])
