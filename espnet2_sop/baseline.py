"""ESPnet's own SOT recogniser on the mixtures of this package: its task, model, training and beam search."""

import argparse
import functools
import logging
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.frontend.huggingface import HuggingFaceFrontend
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask, frontend_choices
from typeguard import TypeCheckError

from espnet2_sop.assembly import load_checkpoint
from espnet2_sop.errors import UserError
from espnet2_sop.files import read_yaml
from espnet2_sop.hypotheses import Hypothesis
from espnet2_sop.mixture_task import MixtureTask
from espnet2_sop.text.serialized import serialize, split_talkers

MAX_LENGTH_RATIO = 3.0  # most characters for an encoder frame, as in ESPnet's recipe: room for all talkers at once


class FrozenHuggingFaceFrontend(HuggingFaceFrontend):
    """Last layer of a pretrained speech model that is never trained: no dropout, no masking, not in checkpoints.

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

    def train(self, mode: bool = True):
        return super().train(False)

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms (B, T), (B,) -> frames (B, F, D), (B,)."""
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
    """Calls `preprocess` with the text in lower case, as all models of this package see it."""
    return preprocess(uid, {**data, "text": data["text"].lower()} if "text" in data else data)


class BaselineTask(MixtureTask, ASRTask):
    """ESPnet's ASR task over mixtures; everything else is ESPnet's."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        super().add_task_arguments(parser)
        cls.add_mixture_arguments(parser)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        return functools.partial(lower_case, super().build_preprocess_fn(args, train))

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        """Builds the model; a wrong configuration is one line.

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


class BaselineDecoder:
    """Writes the talkers' words with ESPnet's batched beam search; CTC has the weight that it had in training.

    ESPnet's convolutional subsampling sees the padding of a batch, so an output may depend slightly on the others.

    Args:
        run: Output folder of `espnet2-sop train --task asr`.
        checkpoint: File in it.
        beam: Beam size.
        device: `cpu` or `cuda`.

    Raises:
        UserError: The checkpoint is missing, broken or of another model.
    """

    def __init__(self, run: str | Path, checkpoint: str, beam: int = 1, device: str = "cpu"):
        logging.getLogger("espnet2.legacy.nets").setLevel(logging.ERROR)  # else two lines for every cut output
        config = Path(run) / "config.yaml"
        self.recogniser = Speech2Text(
            asr_train_config=config,
            device=device,
            beam_size=beam,
            ctc_weight=read_yaml(config)["model_conf"].get("ctc_weight", 0.5),  # as in training; ESPnet's default
            lm_weight=0.0,
            maxlenratio=MAX_LENGTH_RATIO,
        )
        load_checkpoint(Path(run) / checkpoint, self.recogniser.asr_model)

    def __call__(self, waveforms: list[np.ndarray], references: list[str] | None = None) -> list[Hypothesis]:
        """Decodes waveforms (T_i,) float32, 16 kHz; the references, which an oracle would read, are not looked at."""
        best = [hypotheses[0][0] for hypotheses in self.recogniser(waveforms)]
        return [Hypothesis(serialize(split_talkers(text))) for text in best]
