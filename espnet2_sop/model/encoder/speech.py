"""Self-supervised speech encoders of Hugging Face: WavLM, HuBERT, wav2vec 2.0."""

import math

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.io.pretrained import ATTENTION, DTYPES, attention_of, load_pretrained
from espnet2_sop.model.encoder.abs_encoder import AbsEncoder
from espnet2_sop.model.masks import length_mask
from espnet2_sop.model.upstream import frame_counts, mask_frames

OPTION = "encoder_conf.pretrained"
FAMILIES = ("wavlm", "hubert", "wav2vec2")


class HuggingFaceEncoder(AbsEncoder):
    """A pretrained encoder whose convolutional feature extractor stays frozen.

    Padding never reaches a valid frame, so a mixture gives the same frames alone and in a batch.

    Args:
        pretrained: Hugging Face id or folder, e.g. `microsoft/wavlm-large`.
        revision: Git revision of the hub repository.
        config: Keys of the model's own configuration to change, e.g. `{mask_time_prob: 0.05}`.
        gradient_checkpointing: Trade time for memory in the Transformer.
        dtype: Of the matrix products; `bfloat16` is faster on processors that have it. Weights that learn stay float32.
        normalize: Bring each waveform to zero mean and unit variance first (WavLM-Large expects it).
    """

    def __init__(
        self,
        pretrained: str,
        revision: str = "main",
        config: dict | None = None,
        gradient_checkpointing: bool = False,
        dtype: str = "float32",
        normalize: bool = True,
    ):
        super().__init__()
        self.dtype = require_choice("encoder_conf.dtype", dtype, DTYPES)
        settings = read_settings(pretrained, revision, config or {}, FAMILIES)
        self.ssl = load_pretrained(
            AutoModel.from_pretrained, pretrained, OPTION, revision=revision, config=settings, dtype=torch.float32
        )
        if gradient_checkpointing:
            self.ssl.gradient_checkpointing_enable({"use_reentrant": False})
        self.ssl.freeze_feature_encoder()
        self.normalize = normalize

    @property
    def output_size(self) -> int:
        """Width of the frames."""
        return self.ssl.config.hidden_size

    @property
    def stride(self) -> int:
        """Samples from one frame to the next; 320 (20 ms) for the usual models."""
        return math.prod(self.ssl.config.conv_stride)

    @property
    def never_trained(self) -> tuple[str, ...]:
        """Prefixes of the parameters that no stage trains; they are not saved in checkpoints."""
        return ("ssl.feature_extractor.",)

    def train(self, mode: bool = True):
        """As in torch, but the frozen feature extractor stays in evaluation mode."""
        super().train(mode)
        self.ssl.feature_extractor.eval()
        return self

    def forward(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes waveforms.

        Args:
            speech: (B, T) float, 16 kHz, zero-padded on the right.
            lengths: (B,) samples.

        Returns:
            (B, F, D) frames of the last layer (50 Hz for the usual models), zero behind the end, and their
            lengths (B,).
        """
        if self.normalize:
            speech = normalize_waveform(speech, lengths)
        features, frames = self._extract(speech, lengths)
        mask = length_mask(frames, features.size(1))
        hidden = self.ssl.feature_projection(features)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        hidden = mask_frames(self.ssl, hidden, mask)
        hidden = self.ssl.encoder(hidden, attention_mask=mask).last_hidden_state
        return hidden * mask[..., None], frames

    @torch.no_grad()
    def _extract(self, speech, lengths):
        """(B, T) -> (B, F, C) by the frozen convolutions. A group norm over time would see the padding, so such
        models go row by row."""
        frames = frame_counts(self.ssl, lengths)
        if int(frames.min()) < 1:
            raise UserError(f"speech of {int(lengths.min())} samples is shorter than one frame of the encoder")
        if self.ssl.config.feat_extract_norm == "group" and len(speech) > 1:
            rows = [self.ssl.feature_extractor(row[None, :n])[0].T for row, n in zip(speech, lengths, strict=True)]
            features = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        else:
            features = self.ssl.feature_extractor(speech).transpose(1, 2)
        return features[:, : int(frames.max())], frames


def read_settings(pretrained: str, revision: str, changes: dict, families: tuple[str, ...]) -> PretrainedConfig:
    """The configuration of a Hugging Face model, with the user's changes.

    Args:
        pretrained: Hugging Face id or folder.
        revision: Git revision of the hub repository.
        changes: Keys to change.
        families: Model types that are accepted.

    Returns:
        The configuration.

    Raises:
        UserError: The model cannot be found or is of another type, or a change does not fit it.
    """
    settings = load_pretrained(AutoConfig.from_pretrained, pretrained, OPTION, revision=revision)
    if settings.model_type not in families:
        raise UserError(f"{OPTION}: {pretrained} is a {settings.model_type} model; known: {', '.join(families)}")
    if not hasattr(settings, "mask_feature_min_masks"):  # WavLM's models read it, its configuration lacks it
        settings.mask_feature_min_masks = 0
    change_settings(settings, changes)
    if (attention := attention_of(settings)) not in (None, *ATTENTION):
        raise UserError(f"{OPTION}: {pretrained} wants attention from {attention!r}, which is code")
    return settings


def change_settings(settings: PretrainedConfig, changes: dict) -> None:
    """Sets keys of a configuration.

    Args:
        settings: Changed in place.
        changes: Keys and values.

    Raises:
        UserError: There is no such key, its value is of another type, or masks are longer than what they hide.
    """
    for key, value in changes.items():
        if not hasattr(settings, key):
            raise UserError(f"encoder_conf.config: {settings.model_type} has no key {key!r}")
        old = getattr(settings, key)
        try:
            setattr(settings, key, value)
        except StrictDataclassError:
            raise UserError(f"encoder_conf.config.{key} cannot be {value!r}; it is {old!r} by default") from None
    width = getattr(settings, "num_mel_bins", settings.hidden_size)
    for axis, most in (("time", math.inf), ("feature", width)):
        length = getattr(settings, f"mask_{axis}_length")
        if getattr(settings, f"mask_{axis}_prob") > 0 and not 1 <= length <= most:
            raise UserError(f"encoder_conf.config.mask_{axis}_length is {length}; masks have from 1 to {most}")


def normalize_waveform(speech: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance over the valid samples of each row; padding stays zero.

    Args:
        speech: (B, T) float.
        lengths: (B,) samples.

    Returns:
        (B, T).
    """
    mask = length_mask(lengths, speech.size(1))
    count = lengths[:, None].to(speech.dtype)
    mean = (speech * mask).sum(1, keepdim=True) / count
    centred = (speech - mean) * mask
    return centred / (centred.square().sum(1, keepdim=True) / count + 1e-7).sqrt()
