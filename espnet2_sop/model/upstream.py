"""The private names of transformers and PEFT that the model needs, each in one place.

Nobody promises these names: `test/espnet2_sop/model/test_upstream.py` says which one an upgrade has moved. The one of
attention is in `io/pretrained.py`.
"""

from collections.abc import Iterable

import torch
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, WhisperForCausalLM, WhisperModel


def frame_counts(ssl: PreTrainedModel, samples: torch.Tensor) -> torch.Tensor:
    """Frames that the convolutions of a model of the wav2vec 2.0 family make of so many samples.

    Args:
        ssl: WavLM, HuBERT or wav2vec 2.0.
        samples: (B,).

    Returns:
        (B,) frames; below 1 where there are too few samples for one.
    """
    return ssl._get_feat_extract_output_lengths(samples)


def mask_frames(ssl: PreTrainedModel, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The masks of a model of the wav2vec 2.0 family over its frames; only in training, as its configuration says.

    Args:
        ssl: WavLM, HuBERT or wav2vec 2.0.
        hidden: (B, F, D).
        mask: (B, F) bool, True at valid frames.

    Returns:
        (B, F, D).
    """
    return ssl._mask_hidden_states(hidden, attention_mask=mask)


def mask_mel(encoder: PreTrainedModel, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Whisper's SpecAugment; only in training, as its configuration says.

    Args:
        encoder: Whisper's.
        features: (B, mel bins, F).
        mask: (B, F) bool, True at valid frames.

    Returns:
        (B, mel bins, F).
    """
    return WhisperModel._mask_input_features(encoder, features, mask)


def use_adapters(layers: Iterable[LoraLayer], names: list[str]) -> None:
    """Chooses the adapters whose terms are added; PEFT's own way would also choose what is trained.

    Args:
        layers: All layers that have adapters.
        names: Adapters.
    """
    for layer in layers:
        layer._active_adapter = names


class WhisperDecoderAlone(WhisperForCausalLM):
    """Whisper's decoder, loaded without a report on the weights of the encoder."""

    _keys_to_ignore_on_load_unexpected = (r"^model\.encoder\.",)
