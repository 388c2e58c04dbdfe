"""Greedy output of the CTC heads as one table of numbers, for caches and batches."""

import torch

from espnet2_sop.model.ctc.serialized import TalkerTokens


def to_table(slots: list[TalkerTokens]) -> torch.Tensor:
    """S slots of one mixture -> (N, 4) float32, a row for each token: slot from 0, token, frame, confidence."""
    rows = [
        (slot, *values)
        for slot, one in enumerate(slots)
        for values in zip(one.tokens, one.frames, one.confidences, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def from_table(table: torch.Tensor, num_talkers: int) -> list[TalkerTokens]:
    """The inverse of `to_table`.

    Args:
        table: (N, 4).
        num_talkers: Slots S.

    Returns:
        S slots, confidences rounded to float32.
    """
    slots = [TalkerTokens([], [], []) for _ in range(num_talkers)]
    for slot, token, frame, confidence in table.tolist():
        one = slots[int(slot)]
        one.tokens.append(int(token))
        one.frames.append(int(frame))
        one.confidences.append(confidence)
    return slots
