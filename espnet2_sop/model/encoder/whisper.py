"""The encoder of Whisper, for inputs of any length up to what it has positions for."""

import warnings

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import AutoFeatureExtractor, AutoModel
from transformers.masking_utils import create_bidirectional_mask

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.io.pretrained import ATTENTION, DTYPES, load_pretrained
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER, AbsEncoder
from espnet2_sop.model.encoder.speech import OPTION, read_settings
from espnet2_sop.model.lora import lora_config
from espnet2_sop.model.masks import length_mask
from espnet2_sop.model.upstream import mask_mel, use_adapters

LINEAR = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]  # all linear layers of the Transformer


class WhisperEncoder(AbsEncoder):
    """A pretrained Whisper encoder (arXiv 2212.04356) whose convolutions stay frozen; its decoder is not used.

    Whisper itself pads every input to 30 s. Here the positions are cut to the input, so that short mixtures cost
    little, and padding never reaches a valid frame: a mixture has the same frames alone and in a batch.

    Args:
        pretrained: Hugging Face id or folder, e.g. `openai/whisper-base`.
        revision: Git revision of the hub repository.
        config: Keys of the model's own configuration to change, e.g. `{dropout: 0.1}`. With `apply_spec_augment: true`
            its masks (SpecAugment, arXiv 1904.08779) hide mel frames and mel bins where the encoder is trained.
        gradient_checkpointing: Trade time for memory in the Transformer.
        dtype: Of the matrix products; `bfloat16` is faster on processors that have it. Weights that learn stay float32.
        lora: Keys of a LoRA adapter on all linear layers, e.g. `{r: 32, lora_alpha: 64}`. Then the adapter alone is
            trained and saved, and Whisper's own weights are those of `pretrained`.
        heads_lora: Keys of a second adapter, `encoder_heads`, on top of the first. Separator and heads read the frames
            of a second pass with both adapters, so that CTC trains an encoder while the LLM's frames stay the same.
        attn_implementation: How transformers computes attention: `sdpa`, `eager` (twice as fast in bfloat16 on CPU),
            `flash_attention_2`.
    """

    def __init__(
        self,
        pretrained: str,
        revision: str = "main",
        config: dict | None = None,
        gradient_checkpointing: bool = False,
        dtype: str = "float32",
        lora: dict | None = None,
        heads_lora: dict | None = None,
        attn_implementation: str = "sdpa",
    ):
        super().__init__()
        self.dtype = require_choice("encoder_conf.dtype", dtype, DTYPES)
        require_choice("encoder_conf.attn_implementation", attn_implementation, ATTENTION)
        settings = read_settings(pretrained, revision, config or {}, ("whisper",))
        mel = load_pretrained(AutoFeatureExtractor.from_pretrained, pretrained, OPTION, revision=revision)
        model = load_pretrained(
            AutoModel.from_pretrained,
            pretrained,
            OPTION,
            revision=revision,
            config=settings,
            dtype=torch.float32,
            attn_implementation=attn_implementation,
        )
        self.whisper = model.get_encoder()
        if gradient_checkpointing:
            self.whisper.gradient_checkpointing_enable({"use_reentrant": False})
        if lora is not None:
            self._add_adapter("encoder", "encoder_conf.lora", lora)
        if heads_lora is not None:
            if lora is None or gradient_checkpointing:  # the recomputation would not know which pass it belongs to
                raise UserError("encoder_conf.heads_lora: needs encoder_conf.lora, and no gradient_checkpointing")
            self._add_adapter(HEADS_ADAPTER, "encoder_conf.heads_lora", heads_lora)
            self.heads_adapter = True
        self._adapted = [layer for layer in self.whisper.modules() if isinstance(layer, LoraLayer)]
        for layer in self._adapted:
            layer.cast_input_dtype_enabled = False  # to float32 and, for the products, back
            layer.get_base_layer().to(getattr(torch, dtype))  # frozen: as the products need it
        frozen = ("whisper.conv1.", "whisper.conv2.", "whisper.embed_positions.")
        self.never_trained = tuple(
            name
            for name, _ in self.named_parameters()
            if name.startswith(frozen) or (lora is not None and ".lora_" not in name)
        )
        self.n_fft, self.hop = mel.n_fft, mel.hop_length
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel.mel_filters).float(), persistent=False)

    def _add_adapter(self, name: str, option: str, conf: dict) -> None:
        config = lora_config(option, {"target_modules": LINEAR, **conf})
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # a second one is meant
                peft.inject_adapter_in_model(config, self.whisper, name)
        except ValueError as error:  # a rank that cannot be, target_modules that Whisper does not have
            raise UserError(f"{option}: PEFT refuses it ({str(error).splitlines()[0]})") from None

    @property
    def output_size(self) -> int:
        """Width of the frames."""
        return self.whisper.config.d_model

    @property
    def stride(self) -> int:
        """Samples from one frame to the next: the second convolution takes every other mel frame."""
        return 2 * self.hop

    def forward(
        self, speech: torch.Tensor, lengths: torch.Tensor, for_heads: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes waveforms.

        Args:
            speech: (B, T) float, 16 kHz, zero-padded on the right.
            lengths: (B,) samples.
            for_heads: Whether the adapter of the heads is used, too.

        Returns:
            (B, F, D) frames of the last layer (50 Hz), zero behind the end, and their lengths (B,).
        """
        hidden, frames = self._convolve(speech, lengths)
        mask = length_mask(frames, hidden.size(1))
        encoder, settings = self.whisper, self.whisper.config
        use_adapters(self._adapted, ["encoder", HEADS_ADAPTER] if for_heads else ["encoder"])
        hidden = hidden + encoder.embed_positions.weight[: hidden.size(1)]
        hidden = nn.functional.dropout(hidden, settings.dropout, self.training)
        attention = create_bidirectional_mask(config=settings, inputs_embeds=hidden, attention_mask=mask)
        for layer in encoder.layers:
            if not self.training or torch.rand([]) >= settings.encoder_layerdrop:
                hidden = layer(hidden, attention)
        return encoder.layer_norm(hidden) * mask[..., None], frames

    @torch.no_grad()
    def _convolve(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) -> (B, F, D) by the frozen convolutions, each row as if it were alone."""
        if int(lengths.min()) <= self.n_fft // 2:
            raise UserError(f"speech of {int(lengths.min())} samples is shorter than one frame of the encoder")
        rows = [self._log_mel(row[:n]) for row, n in zip(speech, lengths, strict=True)]
        features = nn.utils.rnn.pad_sequence(rows, batch_first=True).transpose(1, 2)
        sizes = torch.div(lengths, self.hop, rounding_mode="floor")
        frames = torch.div(sizes + 1, 2, rounding_mode="floor")
        most = self.whisper.config.max_source_positions
        if int(frames.max()) > most:
            seconds = 2 * most * self.hop / 16000
            raise UserError(f"speech of {int(lengths.max()) / 16000:.1f} s; this Whisper reads at most {seconds:g} s")
        features = mask_mel(self.whisper, features, length_mask(sizes))
        hidden = nn.functional.gelu(self.whisper.conv1(features)) * length_mask(sizes)[:, None]
        return nn.functional.gelu(self.whisper.conv2(hidden)).transpose(1, 2), frames

    def _log_mel(self, speech: torch.Tensor) -> torch.Tensor:
        """Whisper's features of one waveform: (T,) -> (T // hop, mel bins), always float32."""
        with torch.autocast(speech.device.type, enabled=False):
            spectrum = torch.stft(speech.float(), self.n_fft, self.hop, window=self.window, return_complex=True)
            mel = spectrum[:, :-1].abs().square().T @ self.filters
        log = mel.clamp(min=1e-10).log10()
        return (torch.maximum(log, log.max() - 8) + 4) / 4
