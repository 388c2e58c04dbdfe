"""What comes before the LLM: speech to frames and, by Separator and serialized CTC, to a first transcript."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, override

import torch
from torch import nn

from espnet2_sop.model.ctc.serialized import SerializedCTC, TalkerTokens
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER, AbsEncoder
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.separator.abs_separator import AbsSeparator

FRONT_MODULES = ("encoder", "downsampler", "separator", "ctc")
FRONT_PARTS = (*FRONT_MODULES, HEADS_ADAPTER)
FRONT_KEYS = ("tap", "ctc_stop_gradient")  # keys of model_conf that are arguments of FrontEnd
FRONT_END = "front_end."  # before the names of these modules in a model that holds them


class Frames(NamedTuple):
    """Frames of a batch.

    Attributes:
        values: (B, F, D) float, zero behind the end of each row.
        lengths: (B,) frames of each row.
    """

    values: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True)
class EncodedSpeech:
    """Frames of a batch of mixtures, named by who reads them. Rates are those of an encoder of 50 Hz and three blocks.

    Attributes:
        llm: For the projector and the LLM: output of the last downsampling block, 6.25 Hz; with Whisper's decoder that
            of the encoder, 50 Hz. None where the LLM was not asked for.
        separator: For the Separator: output of block `tap`, 12.5 Hz for block 2. None where nobody asked for it.
        cacheable: What `FrontEnd.from_cache` can go on from: output of block `FrontEnd.cached_block`.
    """

    llm: Frames | None
    separator: Frames | None
    cacheable: Frames | None


def cached_block(trainable: Sequence[str], tap: int, llm_reads_encoder: bool = False) -> int:
    """The last block whose output a training with a frozen encoder does not change.

    Args:
        trainable: As in `model_conf.trainable`.
        tap: Block from which the Separator reads.
        llm_reads_encoder: Whether the LLM reads the frames of the encoder.

    Returns:
        `tap` where the downsampler is frozen, too, and the LLM does not read the encoder: all else is computed from
        there. 0, the encoder, where not.
    """
    return 0 if "downsampler" in trainable or llm_reads_encoder else tap


def arithmetic(dtype: str, device: torch.device) -> contextlib.AbstractContextManager:
    """A context for matrix products in another number format.

    Args:
        dtype: `float32`, which changes nothing, or `bfloat16`.
        device: Where the tensors are.

    Returns:
        The context.
    """
    return contextlib.nullcontext() if dtype == "float32" else torch.autocast(device.type, getattr(torch, dtype))


class FrontEnd(nn.Module):
    """Speech encoder, downsampler, Separator and CTC heads.

    Args:
        encoder: Waveforms to frames, 50 Hz for the usual ones.
        downsampler: Stride-2 blocks, numbered from 1; each halves the rate.
        separator: Frames to one stream for each talker slot.
        ctc: Serialized CTC, a head for each slot.
        tap: Block from which the Separator reads: 0 is the encoder, k the k-th downsampling block.
        ctc_stop_gradient: The Separator reads frames without gradient.
        llm_reads_encoder: The LLM reads the frames of the encoder, not those of the last block.

    Attributes:
        trainable: Parts that are trained, as in `model_conf.trainable`; all others stay in evaluation mode.
    """

    def __init__(
        self,
        encoder: AbsEncoder,
        downsampler: ConvDownsampler,
        separator: AbsSeparator,
        ctc: SerializedCTC,
        tap: int = 2,
        ctc_stop_gradient: bool = False,
        llm_reads_encoder: bool = False,
    ):
        super().__init__()
        self.encoder = encoder
        self.downsampler = downsampler
        self.separator = separator
        self.ctc = ctc
        self.tap = tap
        self.ctc_stop_gradient = ctc_stop_gradient
        self.llm_reads_encoder = llm_reads_encoder
        self.trainable: Sequence[str] = ()
        self.register_state_dict_post_hook(self._drop_never_trained)
        self.register_load_state_dict_post_hook(self._expect_no_never_trained)

    @property
    def cached_block(self) -> int:
        """Block whose output may be cached on disk and given to `from_cache` instead of encoding waveforms."""
        return cached_block(self.trainable, self.tap, self.llm_reads_encoder)

    @property
    def samples_per_frame(self) -> int:
        """Samples from one frame of the streams and the CTC heads to the next; 1280 (80 ms) for tap 2."""
        return self.encoder.stride * 2**self.tap

    def parameters_by_part(self) -> dict[str, list[nn.Parameter]]:
        """What `trainable` may name here, and its parameters."""
        parts = {name: list(getattr(self, name).parameters()) for name in ("downsampler", "separator", "ctc")}
        frozen = self.encoder.never_trained
        learns = {name: p for name, p in self.encoder.named_parameters() if not name.startswith(frozen)}
        parts["encoder"] = [p for name, p in learns.items() if f".{HEADS_ADAPTER}." not in name]
        if self.encoder.heads_adapter:
            parts[HEADS_ADAPTER] = [p for name, p in learns.items() if f".{HEADS_ADAPTER}." in name]
        return parts

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name in FRONT_MODULES:
            if not {name, *((HEADS_ADAPTER,) if name == "encoder" else ())} & set(self.trainable):
                getattr(self, name).eval()  # no dropout, no masking
        return self

    def encode(
        self, speech: torch.Tensor, lengths: torch.Tensor, for_llm: bool = True, for_separator: bool = True
    ) -> EncodedSpeech:
        """Encodes waveforms.

        Args:
            speech: (B, T) float, 16 kHz, zero-padded on the right.
            lengths: (B,) samples.
            for_llm: Whether the LLM reads the result.
            for_separator: Whether the Separator reads it.

        Returns:
            The frames. Where the encoder has an adapter for the heads, LLM and Separator have frames of their own, each
            from one pass of the encoder, and a pass that nobody reads is left out.
        """
        if not self.encoder.heads_adapter:
            return self._downsample(self._run_encoder(speech, lengths, "encoder"))
        own = self._run_encoder(speech, lengths, "encoder") if for_llm else None
        if not for_separator:
            return EncodedSpeech(llm=own, separator=None, cacheable=own)
        of_heads = self._downsample(self._run_encoder(speech, lengths, "encoder", HEADS_ADAPTER, for_heads=True))
        return dataclasses.replace(of_heads, llm=own, cacheable=own)

    def from_cache(self, frames: torch.Tensor, lengths: torch.Tensor) -> EncodedSpeech:
        """Goes on from cached frames.

        Args:
            frames: (B, F, D) output of block `cached_block`, zero behind the end of each row.
            lengths: (B,) frames.

        Returns:
            What `encode` gives; without frames for the Separator where the encoder has an adapter for the heads.
        """
        cached = Frames(frames, lengths)
        if self.encoder.heads_adapter:
            return EncodedSpeech(llm=cached, separator=None, cacheable=cached)
        return self._downsample(cached, self.cached_block)

    def streams(self, encoded: EncodedSpeech) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The Separator: frames (B, F, D) to S streams (B, F, D'), slot i for the talker who starts i-th, and their
        lengths (B,)."""
        frames, lengths = encoded.separator
        if self.ctc_stop_gradient:
            frames = frames.detach()
        with arithmetic(self.encoder.dtype, frames.device):
            streams = self.separator(frames, lengths)
        return [stream.float() for stream in streams], lengths

    @torch.no_grad()
    def slots(self, encoded: EncodedSpeech) -> list[list[TalkerTokens]]:
        """Greedy output of the serialized CTC heads: for each of B mixtures S slots."""
        streams, lengths = self.streams(encoded)
        return self.ctc.greedy(self.ctc.one_by_one(streams), lengths)

    def _run_encoder(self, speech: torch.Tensor, lengths: torch.Tensor, *parts: str, **passed: bool) -> Frames:
        """One pass of the encoder, (B, T) to (B, F, D), in which `parts` may learn."""
        learns = torch.is_grad_enabled() and any(part in self.trainable for part in parts)
        with torch.set_grad_enabled(learns), arithmetic(self.encoder.dtype, speech.device):
            frames, lengths = self.encoder(speech, lengths, **passed)
        return Frames(frames.float(), lengths)

    def _downsample(self, frames: Frames, block: int = 0) -> EncodedSpeech:
        """Goes on from the output of a block (0: the encoder), which is the cached one or one before it."""
        with arithmetic(self.encoder.dtype, frames.values.device):
            later = self.downsampler(*frames, block)
        outputs = [frames, *(Frames(values.float(), lengths) for values, lengths in later)]
        return EncodedSpeech(
            llm=frames if self.llm_reads_encoder else outputs[-1],
            separator=outputs[self.tap - block],
            cacheable=outputs[self.cached_block - block],
        )

    def _never_trained(self, name: str) -> bool:
        return any(name.startswith(f"encoder.{prefix}") for prefix in self.encoder.never_trained)

    @staticmethod
    def _drop_never_trained(module, state, prefix, metadata):
        for name in [k for k in state if module._never_trained(k.removeprefix(prefix))]:
            del state[name]

    @staticmethod
    def _expect_no_never_trained(module, incompatible):
        missing = incompatible.missing_keys  # named from the model on that is loaded
        missing[:] = [k for k in missing if not module._never_trained(k.removeprefix(FRONT_END))]
