"""ESPnet's own SOT recogniser on the mixtures of this package: its task and model."""

import argparse
import functools
from pathlib import Path
from typing import override

import torch
from espnet2.asr.frontend.huggingface import HuggingFaceFrontend
from espnet2.tasks.asr import ASRTask, frontend_choices
from typeguard import TypeCheckError

from espnet2_sop.io.errors import UserError
from espnet2_sop.training.mixture_task import MixtureTask


class FrozenHuggingFaceFrontend(HuggingFaceFrontend):
    """Frozen pretrained speech model, last layer: without dropout and masking, and not in checkpoints.

    Args:
        model: Hugging Face id or folder.
        **conf: Other arguments of ESPnet's frontend.
    """

    def __init__(self, model: str, **conf):
        try:
            super().__init__(model=model, **conf)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"frontend_conf.model: {model!r} cannot be loaded ({reason})") from None
        self.pretrained_params = None  # a second copy of all weights, which only --init would need
        self.requires_grad_(False)
        self.register_state_dict_post_hook(self._drop_encoder)
        self.register_load_state_dict_post_hook(self._expect_no_encoder)

    @override
    def train(self, mode: bool = True):
        """Keeps the module in evaluation mode."""
        return super().train(False)

    @override
    @torch.no_grad()
    def forward(self, inputs: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps waveforms (B, T) with lengths (B,) to frames (B, F, D) with lengths (B,)."""
        return super().forward(inputs, input_lengths)

    @staticmethod
    def _drop_encoder(module, state, prefix, metadata):
        for name in [k for k in state if k.startswith(f"{prefix}encoder.")]:
            del state[name]

    @staticmethod
    def _expect_no_encoder(module, incompatible):
        incompatible.missing_keys[:] = [k for k in incompatible.missing_keys if not k.startswith("frontend.encoder.")]


frontend_choices.classes["frozen_huggingface"] = FrozenHuggingFaceFrontend


def lower_case(preprocess, uid: str, data: dict) -> dict:
    """Preprocesses a mixture with its text in lower case, as for all models of this package.

    Args:
        preprocess: ESPnet's preprocessor.
        uid: Id of the mixture.
        data: Its data; `text` may be missing.

    Returns:
        The preprocessed data.
    """
    return preprocess(uid, {**data, "text": data["text"].lower()} if "text" in data else data)


class BaselineTask(MixtureTask, ASRTask):
    """ESPnet's ASR task with mixtures as data."""

    @classmethod
    @override
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds ESPnet's options and those of the mixtures."""
        super().add_task_arguments(parser)
        cls.add_mixture_arguments(parser)

    @classmethod
    @override
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        """Returns ESPnet's preprocessing, applied to text in lower case."""
        return functools.partial(lower_case, super().build_preprocess_fn(args, train))

    @classmethod
    @override
    def build_model(cls, args: argparse.Namespace):
        """Builds the model; a wrong configuration gives an error of one line.

        Raises:
            UserError: The token list is missing, or ESPnet refuses a key or a value.
        """
        if isinstance(args.token_list, str) and not Path(args.token_list).is_file():
            raise UserError(f"--token_list {args.token_list}: no such file; make it with espnet2-sop vocab --kind char")
        try:
            return super().build_model(args)
        except (TypeError, ValueError, KeyError, AssertionError, TypeCheckError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"ESPnet cannot build the model of this configuration ({reason})") from None
