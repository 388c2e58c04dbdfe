"""What comes before the LLM: speech to frames and, by Separator and serialized CTC, to a first transcript."""

import contextlib
from collections.abc import Sequence

import torch
from torch import nn

from espnet2_sop.model.ctc.serialized import SerializedCTC, TalkerTokens
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER

FRONT_MODULES = ("encoder", "downsampler", "separator", "ctc")
FRONT_PARTS = (*FRONT_MODULES, HEADS_ADAPTER)


def kept_level(trainable: Sequence[str], tap: int, llm_reads_encoder: bool = False) -> int:
    """The last level of frames that a training with a frozen encoder does not change.

    Returns:
        0 for the encoder's frames, `tap` where the downsampler is frozen, too, and the LLM does not read the encoder:
        everything is computed from there.
    """
    return 0 if "downsampler" in trainable or llm_reads_encoder else tap


def arithmetic(dtype: str, device: torch.device) -> contextlib.AbstractContextManager:
    """In it matrix products are of `dtype`; float32 leaves them as they are."""
    return contextlib.nullcontext() if dtype == "float32" else torch.autocast(device.type, getattr(torch, dtype))


class FrontEnd(nn.Module):
    """Speech encoder, downsampler, Separator and CTC heads.

    Args:
        encoder: Waveform to frames.
        downsampler: Stride-2 blocks.
        separator: Fed from block `tap`; None where only frames are wanted.
        ctc: Serialized CTC heads; None likewise.
        tap: Where the Separator is fed from: 0 is the encoder, k the k-th downsampling block.
        trainable: Parts that are trained, as in `model_conf.trainable`.
        ctc_stop_gradient: The Separator reads frames without gradient.
        llm_reads_encoder: The LLM reads the encoder's frames, not those of the last block.
    """

    def __init__(
        self,
        encoder: nn.Module,
        downsampler: nn.Module,
        separator: nn.Module | None,
        ctc: SerializedCTC | None,
        tap: int,
        trainable: Sequence[str] = (),
        ctc_stop_gradient: bool = False,
        llm_reads_encoder: bool = False,
    ):
        super().__init__()
        self.encoder = encoder
        self.downsampler = downsampler
        self.separator = separator
        self.ctc = ctc
        self.tap = tap
        self.trainable = trainable
        self.ctc_stop_gradient = ctc_stop_gradient
        self.llm_reads_encoder = llm_reads_encoder
        self.register_state_dict_post_hook(self._drop_never_trained)
        self.register_load_state_dict_post_hook(self._expect_no_never_trained)

    @property
    def kept_level(self) -> int:
        """The level of frames that may be kept on disk and given to `from_kept` instead of being encoded."""
        return kept_level(self.trainable, self.tap, self.llm_reads_encoder)

    def encode(self, speech: torch.Tensor, lengths: torch.Tensor, llm: bool = True, heads: bool = True) -> list:
        """Encodes waveforms.

        Args:
            speech: (B, T).
            lengths: (B,).
            llm: Whether the LLM reads the result.
            heads: Whether the heads read it. Where they have an encoder adapter of their own, what nobody reads is not
                computed.

        Returns:
            Frames and lengths of the encoder and of every downsampling block. With an adapter of the heads, the first
            are those of the LLM, and those of the blocks come from frames of the heads.
        """
        if not self.encoder.heads_adapter:
            return self.downsample(*self._frames(speech, lengths, "encoder"))
        own = self._frames(speech, lengths, "encoder") if llm else None
        if not heads:
            return [own]
        return [own, *self.downsample(*self._frames(speech, lengths, "encoder", HEADS_ADAPTER, heads=True))[1:]]

    def _frames(self, speech: torch.Tensor, lengths: torch.Tensor, *parts: str, **which: bool) -> tuple:
        """One pass of the encoder, in which `parts` may learn."""
        learns = torch.is_grad_enabled() and any(part in self.trainable for part in parts)
        with torch.set_grad_enabled(learns), arithmetic(self.encoder.dtype, speech.device):
            frames, lengths = self.encoder(speech, lengths, **which)
        return frames.float(), lengths

    def from_kept(self, frames: torch.Tensor, lengths: torch.Tensor) -> list:
        """Frames (B, F, D), (B,) of level `kept_level` -> what `encode` gives, with an adapter of the heads for the LLM
        alone."""
        if self.encoder.heads_adapter:
            return [(frames, lengths)]
        return self.downsample(frames, lengths, self.kept_level)

    def downsample(self, frames: torch.Tensor, lengths: torch.Tensor, level: int = 0) -> list:
        """Goes on from frames of a level.

        Args:
            frames: (B, F, D), zero behind the end of each row.
            lengths: (B,).
            level: 0 for the encoder's frames, k for those of the k-th block.

        Returns:
            Frames and lengths of all levels as `encode` gives them; None for those below `level`.
        """
        with arithmetic(self.encoder.dtype, frames.device):
            blocks = self.downsampler(frames, lengths, level)
        return [*[None] * level, (frames, lengths), *((block.float(), n) for block, n in blocks)]

    def streams(self, levels) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Output of `encode` -> the Separator's S streams (B, F, D) and their lengths (B,)."""
        frames, lengths = levels[self.tap]
        if self.ctc_stop_gradient:
            frames = frames.detach()
        with arithmetic(self.encoder.dtype, frames.device):
            streams = self.separator(frames, lengths)
        return [stream.float() for stream in streams], lengths

    def talkers(self, levels, heads=None) -> list[list[TalkerTokens]]:
        """Greedy output of the serialized CTC heads, B lists of S slots; `heads`: log-probabilities and lengths."""
        with torch.no_grad():
            if heads:
                return self.ctc.greedy(*heads)
            streams, lengths = self.streams(levels)
            return self.ctc.greedy(self.ctc.one_by_one(streams), lengths)

    def _never_trained(self, name: str) -> bool:
        return any(name.startswith(f"encoder.{prefix}") for prefix in self.encoder.never_trained)

    @staticmethod
    def _drop_never_trained(module, state, prefix, metadata):
        for name in [k for k in state if module._never_trained(k.removeprefix(prefix))]:
            del state[name]

    @staticmethod
    def _expect_no_never_trained(module, incompatible):
        incompatible.missing_keys[:] = [k for k in incompatible.missing_keys if not module._never_trained(k)]
