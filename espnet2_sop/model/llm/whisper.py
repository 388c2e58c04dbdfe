"""Whisper's own decoder in the place of the LLM: it reads speech by cross-attention."""

import inspect
from typing import override

import torch
from torch import nn
from transformers import AutoConfig, DynamicCache, EncoderDecoderCache
from transformers.models.whisper import modeling_whisper

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.io.pretrained import load_pretrained
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM, Speech
from espnet2_sop.model.llm.key_value_cache import RowCache
from espnet2_sop.model.upstream import WhisperDecoderAlone
from espnet2_sop.text.llm_tokenizer import OPTION

NAMES = inspect.signature(modeling_whisper.WhisperDecoder.forward).parameters
CACHE = "cache" if "cache" in NAMES else "past_key_values"  # as transformers called it before


class SharedFrames(DynamicCache):
    """Keys and values of frames in a beam search, which are the same for all hypotheses of a row."""

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Leaves everything where it is."""


class WhisperDecoder(AdaptedCausalLM):
    """The decoder of a pretrained Whisper (arXiv 2212.04356) with LoRA adapters and the trained row of `<sc>`.

    Instruction and serialized output prompt are input before the text, as in any LLM. The speech is not part of the
    input: the decoder attends to all frames of the encoder, so only the Separator reads the downsampler, and the
    projector starts as the identity. Adapters need `target_modules` of Whisper's: q_proj, k_proj, v_proj, out_proj,
    fc1, fc2. Args and raises: those of AdaptedCausalLM.
    """

    reads_encoder = True
    _hidden_frames: torch.Tensor  # (B, 1, 1, F), added to the scores of the frames of the pass that runs

    def _load(self, pretrained: str, **kwargs) -> WhisperDecoderAlone:
        settings = load_pretrained(AutoConfig.from_pretrained, pretrained, OPTION, revision=kwargs["revision"])
        if settings.model_type != "whisper":
            kind = settings.model_type
            raise UserError(f"{OPTION}: {pretrained} is a {kind} model, no Whisper; leave out llm: whisper")
        require_choice("llm_conf.attn_implementation", kwargs["attn_implementation"], ("sdpa", "eager"))
        base = load_pretrained(WhisperDecoderAlone.from_pretrained, pretrained, OPTION, **kwargs)
        for layer in base.model.decoder.layers:
            layer.encoder_attn.register_forward_pre_hook(self._hide_padding, with_kwargs=True)
        return base

    @property
    def decoder(self) -> nn.Module:
        """The decoder without its output layer."""
        return self.base.model.decoder

    def new_projector(self, input_size: int) -> nn.Linear:
        """A linear layer that starts as the identity, because Whisper's decoder knows the encoder's frames."""
        projector = super().new_projector(input_size)
        nn.init.eye_(projector.weight)
        nn.init.zeros_(projector.bias)
        return projector

    def new_cache(self) -> RowCache:
        """An empty cache, also for the keys and values of the frames."""
        return RowCache(self.base.config.decoder_layers, cross_attention=True)

    @override
    def search_inputs(self, inputs: dict, speech: Speech | None) -> dict:
        # the frames, a cache that has their keys, too, and the positions (N, L) of left-padded rows
        new = inputs["input_ids"] if inputs.get("inputs_embeds") is None else inputs["inputs_embeds"]
        cache = inputs[CACHE]
        if not isinstance(cache, EncoderDecoderCache):  # empty, and with as many layers as the encoder
            cache = EncoderDecoderCache(DynamicCache(), SharedFrames())
        mask = inputs["attention_mask"]  # (N, K) of all keys so far
        if mask is None:  # without padding
            mask = torch.ones(len(new), cache.get_seq_length() + new.size(1), dtype=torch.long, device=new.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -new.size(1) :]
        return {"position_ids": positions, CACHE: cache} | self._frames(speech)

    def _decoder_inputs(self, cache: RowCache | None, speech: Speech | None) -> dict:
        both = None if cache is None else EncoderDecoderCache(cache, cache.cross_attention)
        return {CACHE: both} | self._frames(speech)

    def _frames(self, speech: Speech) -> dict:
        hidden = ~speech.mask[:, None, None]
        self._hidden_frames = torch.zeros(hidden.shape, dtype=speech.frames.dtype, device=hidden.device)
        self._hidden_frames.masked_fill_(hidden, torch.finfo(speech.frames.dtype).min)
        return {"encoder_hidden_states": speech.frames}

    def _hide_padding(self, module, args, kwargs):
        return args, {**kwargs, "attention_mask": self._hidden_frames}
