"""A frozen causal LM with named LoRA adapters and one trained token for the speaker change."""

from dataclasses import dataclass

import peft
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.io.pretrained import ATTENTION, DTYPES, load_pretrained
from espnet2_sop.model.llm.key_value_cache import RowCache
from espnet2_sop.model.lora import lora_config
from espnet2_sop.text.llm_tokenizer import OPTION

LLM_ADAPTERS = ("sot", "sop")  # of stage 1, and of stage 3 on top of it
LORA = {  # paper: r 16, alpha 32, dropout 0.1, on q, k, v and o of every layer
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.1,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
}


def adapter_config(name: str, conf: dict) -> peft.LoraConfig:
    """The LoRA adapter that `llm_conf.adapters.NAME` describes.

    Args:
        name: NAME.
        conf: Its keys; missing ones are those of the paper.

    Returns:
        PEFT's configuration.

    Raises:
        UserError: A key or value is wrong.
    """
    return lora_config(f"llm_conf.adapters.{name}", {**LORA, **conf}, task_type="CAUSAL_LM")


@dataclass(frozen=True)
class Speech:
    """Frames that a decoder reads by cross-attention.

    Attributes:
        frames: (B, F, D).
        mask: (B, F) bool, True at valid frames.
    """

    frames: torch.Tensor
    mask: torch.Tensor

    def rows(self, index: list[int]) -> "Speech":
        """Those of some rows."""
        return Speech(self.frames[index], self.mask[index])


class AdaptedCausalLM(nn.Module):
    """The LLM of the paper: frozen weights, LoRA adapters by name, and the trained row of `<sc>`.

    Only adapters and the row are in the state dict; the base LLM is named, never saved.

    Args:
        pretrained: Hugging Face id or folder.
        sc_id: Token whose embedding (and output row, when not tied) is trained.
        adapters: Adapter name to keyword arguments of `peft.LoraConfig`; missing ones are those of the paper.
        revision: Git revision of the hub repository.
        dtype: Of the frozen weights, `float32` or `bfloat16`; adapters are always float32.
        attn_implementation: How transformers computes attention: `sdpa`, `eager`, `flash_attention_2`.
        gradient_checkpointing: Trade time for memory.

    Attributes:
        reads_encoder: Whether it reads the frames of the encoder by cross-attention; if not, the frames of the
            downsampler are part of its input, between prompt and text.

    Raises:
        UserError: The LLM cannot be loaded, or a key or value of `adapters` or `dtype` is wrong.
    """

    reads_encoder = False

    def __init__(
        self,
        pretrained: str,
        sc_id: int,
        adapters: dict[str, dict],
        revision: str = "main",
        dtype: str = "float32",
        attn_implementation: str = "sdpa",
        gradient_checkpointing: bool = False,
    ):
        super().__init__()
        require_choice("llm_conf.attn_implementation", attn_implementation, ATTENTION)
        self.base_dtype = getattr(torch, require_choice("llm_conf.dtype", dtype, DTYPES))
        base = self._load(pretrained, revision=revision, dtype=self.base_dtype, attn_implementation=attn_implementation)
        base.requires_grad_(False)
        base.generation_config = GenerationConfig()  # beam search follows its scores alone, as greedy decoding does
        if gradient_checkpointing:
            # in stage 3 nothing before the adapters has a gradient, which reentrant checkpoints would need
            base.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            configs = {name: adapter_config(name, conf) for name, conf in adapters.items()}
            (first, config), *others = configs.items()
            self.peft = peft.get_peft_model(base, config, adapter_name=first)
            for name, config in others:
                self.peft.add_adapter(name, config)
        except (TypeError, ValueError) as error:  # an unknown key, or target_modules that this LLM does not have
            raise UserError(f"llm_conf.adapters: PEFT refuses them ({str(error).splitlines()[0]})") from None
        self.merged = False
        self.sc_id = sc_id
        embedding, output = base.get_input_embeddings().weight, base.get_output_embeddings().weight
        # Not PEFT's trainable_token_indices, which copies the whole table in every pass: 2 s instead of 1.5 ms for the
        # embeddings of a row with Llama 3's 128,256 tokens (width 2048, bfloat16, one core), and scores are rounded
        # differently
        self.sc_input = nn.Parameter(embedding[sc_id].detach().float().clone())
        self.sc_output = None if output is embedding else nn.Parameter(output[sc_id].detach().float().clone())
        base.get_input_embeddings().register_forward_hook(self._embed_sc)
        base.get_output_embeddings().register_forward_hook(self._score_sc)
        self.register_state_dict_post_hook(self._drop_base)
        self.register_load_state_dict_post_hook(self._expect_no_base)

    def _load(self, pretrained: str, **kwargs) -> PreTrainedModel:
        """The pretrained LLM; keywords are those of `from_pretrained`."""
        return load_pretrained(AutoModelForCausalLM.from_pretrained, pretrained, OPTION, **kwargs)

    @property
    def base(self):
        """The Hugging Face model inside."""
        return self.peft.get_base_model()

    @property
    def decoder(self) -> nn.Module:
        """The Hugging Face model without its output layer."""
        return getattr(self.base, self.base.base_model_prefix)

    @property
    def hidden_size(self) -> int:
        """Width of the embeddings."""
        return self.base.config.hidden_size

    def new_projector(self, input_size: int) -> nn.Linear:
        """A new linear layer from frames of this width to the embeddings of the LLM."""
        return nn.Linear(input_size, self.hidden_size)

    def new_cache(self) -> RowCache:
        """An empty cache for decoding."""
        return RowCache(self.base.config.num_hidden_layers)

    def activate(self, adapters: list[str]) -> None:
        """Chooses the adapters whose LoRA terms are added; trains none of them yet.

        Args:
            adapters: Names, e.g. `["sot", "sop"]`: stage 3 puts `sop` on top of the frozen `sot`.
        """
        if self.merged:
            self.peft.base_model.unmerge_adapter()
            self.merged = False
        self.peft.base_model.set_adapter(adapters)
        self.peft.requires_grad_(False)

    def merge(self) -> None:
        """Adds the LoRA terms of the active adapters to the weights until the next `activate`.

        A pass is then as fast as without adapters. Adapters of a bfloat16 LLM are not merged: the sum would lose most
        digits of the LoRA terms.
        """
        if self.base_dtype == torch.float32 and not self.merged:
            self.peft.base_model.merge_adapter(self.peft.base_model.active_adapters)
            self.merged = True

    def adapter_parameters(self, name: str) -> list[nn.Parameter]:
        """Parameters of one adapter; the row of `<sc>` belongs to `sot`."""
        own = [p for key, p in self.peft.named_parameters() if f".{name}." in key and "lora_" in key]
        if name == "sot":
            own += [p for p in (self.sc_input, self.sc_output) if p is not None]
        return own

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids (...) -> embeddings (..., hidden_size), with the trained row for `<sc>`."""
        return self.base.get_input_embeddings()(ids)

    def hidden_states(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor,
        cache: RowCache | None = None,
        speech: Speech | None = None,
    ) -> torch.Tensor:
        """Runs the decoder without its output layer.

        Args:
            embeds: (B, L, hidden_size).
            mask: (B, L) bool, True at valid positions; or (B, 1, L, K), added to the scores of the K keys that the
                cache has; or None: all earlier positions are seen.
            positions: (B, L) position of each valid token in its row, from 0.
            cache: Keys and values of earlier passes, to which this one adds its own.
            speech: What is read by cross-attention, if the LLM does that.

        Returns:
            (B, L, hidden_size).
        """
        return self.decoder(
            inputs_embeds=embeds,
            attention_mask=mask.long() if mask is not None and mask.dim() == 2 else mask,
            position_ids=positions,
            use_cache=cache is not None,
            **self._decoder_inputs(cache, speech),
        ).last_hidden_state

    def _decoder_inputs(self, cache: RowCache | None, speech: Speech | None) -> dict:
        """Arguments of the decoder in addition to embeddings, mask and positions."""
        return {"past_key_values": cache}

    def search_inputs(self, inputs: dict, speech: Speech | None) -> dict:
        """Arguments of the decoder in a beam search, in addition to or instead of those from transformers' `generate`.

        Args:
            inputs: Keyword arguments of the decoder as `generate` has them, for N rows: all hypotheses of all mixtures.
            speech: What is read by cross-attention, N rows, if the LLM does that.

        Returns:
            Keyword arguments that replace or extend `inputs`.
        """
        return {}

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> (..., vocabulary)."""
        return self.base.get_output_embeddings()(hidden)

    def output_parameters(self) -> list[nn.Parameter]:
        """All parameters that `logits` depends on."""
        row = self.sc_input if self.sc_output is None else self.sc_output
        return [*self.base.get_output_embeddings().parameters(), row]

    def _embed_sc(self, module, args, output):
        return torch.where((args[0] == self.sc_id)[..., None], self.sc_input.to(output.dtype), output)

    def _score_sc(self, module, args, output):
        row = self.sc_input if self.sc_output is None else self.sc_output
        score = (args[0] * row.to(args[0].dtype)).sum(-1, keepdim=True).to(output.dtype)
        index = torch.full_like(score, self.sc_id, dtype=torch.long)
        return output.scatter(-1, index, score)

    @staticmethod
    def _trained(name: str) -> bool:
        return "lora_" in name or name.rpartition(".")[2] in ("sc_input", "sc_output")

    @staticmethod
    def _drop_base(module, state, prefix, metadata):
        for name in [k for k in state if k.startswith(prefix) and not module._trained(k)]:
            del state[name]

    @staticmethod
    def _expect_no_base(module, incompatible):
        kept = [k for k in incompatible.missing_keys if ".peft." not in f".{k}" or module._trained(k)]
        incompatible.missing_keys[:] = kept

    def _apply(self, fn, recurse=True):
        """Keeps the frozen weights in their own dtype when a trainer casts the whole model."""
        super()._apply(fn, recurse)
        for name, p in self.peft.named_parameters():
            if not self._trained(name) and p.is_floating_point() and p.dtype != self.base_dtype:
                p.data = p.data.to(self.base_dtype)
        return self
