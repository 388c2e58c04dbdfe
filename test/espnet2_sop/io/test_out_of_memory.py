"""If these fail, a full memory ends in a traceback, or other errors pass for one."""

import argparse

import numpy as np
import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.out_of_memory import advice, in_one_line, within_memory

ARGS = {"batch_bins": 640, "valid_batch_bins": 900, "accum_grad": 2, "encoder_conf": {}, "llm_conf": {}}


def args(**changes):
    return argparse.Namespace(**{**ARGS, **changes})


def test_a_full_memory_names_the_keys_to_lower():
    message = (
        r"^out of memory: lower batch_bins \(now 640\) and raise accum_grad \(now 2\) by the same factor: the updates "
        r"stay as they are; or set encoder_conf.gradient_checkpointing and llm_conf.gradient_checkpointing to true$"
    )
    with pytest.raises(UserError, match=message), in_one_line(args()):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with pytest.raises(UserError, match=message), in_one_line(args()):
        torch.empty(2**60, dtype=torch.uint8)  # what the allocator of the CPU says


def test_what_is_on_already_is_not_advised():
    on = {"gradient_checkpointing": True}
    said = str(advice(MemoryError(), args(encoder_conf=on)))
    assert "llm_conf.gradient_checkpointing to true" in said and "encoder_conf" not in said
    assert str(advice(MemoryError(), args(encoder_conf=on, llm_conf=on))).endswith("the updates stay as they are")


def test_validation_has_a_key_of_its_own():
    def validate_one_epoch():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match=r"in validation: lower valid_batch_bins \(now 900\)"), in_one_line(args()):
        validate_one_epoch()


def test_text_of_a_spawned_process_is_read():
    """With several GPUs the error itself stays in the process; its text comes back."""
    text = "Process 1 terminated:\n  File x, in train_one_epoch\ntorch.OutOfMemoryError: CUDA out of memory. Tried"
    assert "batch_bins (now 640)" in str(advice(Exception(text), args()))


def test_other_errors_stay_as_they_are():
    cause = ValueError("cause")
    with pytest.raises(RuntimeError, match="shapes") as raised, in_one_line(args()):
        raise RuntimeError("shapes cannot be multiplied") from cause
    assert raised.value.__cause__ is cause


@pytest.mark.parametrize(
    "fill",
    [
        lambda: torch.empty(2**60, dtype=torch.uint8),
        lambda: np.empty(2**60, np.uint8),
        lambda: bytearray(2**62),
    ],
)
def test_recognition_is_told_which_limits_to_lower(fill):
    message = "^out of memory: give a smaller --a, --b or --c$"
    with pytest.raises(UserError, match=message), within_memory("--a", "--b", "--c"):
        fill()


def test_other_errors_of_recognition_stay_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), within_memory("a", "b"):
        raise RuntimeError("shapes cannot be multiplied")
