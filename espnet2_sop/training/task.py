"""The ESPnet2 task: options, data and model of all three stages."""

import argparse

import torch
from espnet2.tasks.abs_task import AbsTask
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.json_shapes import is_number
from espnet2_sop.io.pretrained import DTYPES
from espnet2_sop.model.build import (
    build_model,
    encoder_choices,
    llm_choices,
    require_keys,
    separator_choices,
)
from espnet2_sop.model.checkpoint import check_checkpoint
from espnet2_sop.model.sop_model import IGNORE, SOPModel
from espnet2_sop.text.llm_tokenizer import build_tokenizer
from espnet2_sop.text.preprocessor import SerializedTextPreprocessor
from espnet2_sop.text.vocabulary import load_vocabulary
from espnet2_sop.training.frame_cache.plan import KINDS
from espnet2_sop.training.learning_rate import scale_learning_rates
from espnet2_sop.training.mixture_task import MixtureTask


class SOPTask(MixtureTask, AbsTask):
    """Trains `SOPModel` with ESPnet's trainer, checkpoints, averaging and resume."""

    num_optimizers = 1
    class_choices_list = [encoder_choices, separator_choices, llm_choices]

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options of the model and of the data to ESPnet's."""
        # no attention to plot, curves are in images/, and the mask embedding of the encoder is not used in every step
        parser.set_defaults(num_att_plot=0, use_tensorboard=False, unused_parameters=True)
        parser.set_defaults(ignore_init_mismatch=True)  # check_checkpoint says first which keys may differ
        group = parser.add_argument_group("Serialized Output Prompting")
        group.add_argument("--ctc_vocab", type=str_or_none, help="folder made by `espnet2-sop vocab`")
        group.add_argument("--num_talkers", type=int, default=3, help="talker slots of the model")
        group.add_argument("--cache", type=str_or_none, help="folder made by `espnet2-sop cache`")
        group.add_argument("--cache_kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is read from it")
        group.add_argument("--cache_dtype", choices=DTYPES, help="of frames [llm_conf.dtype]")
        cls.add_mixture_arguments(parser)
        for name, text in {
            "downsampler": "ConvDownsampler",
            "prompt": "PromptBuilder",
            "model": "SOPModel: objective, trainable, tap, sop_corruption",
            "lr_scale": "share of the learning rate with which a part of `trainable` learns, e.g. encoder=0.1",
        }.items():
            group.add_argument(f"--{name}_conf", action=NestedDictAction, default={}, help=text)
        for choices in cls.class_choices_list:
            choices.add_arguments(group)

    @classmethod
    def build_collate_fn(cls, args, train: bool):
        """Batches: speech is padded with 0, text with `IGNORE`."""
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=IGNORE)

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        """Words to token ids, for the LLM and for each CTC head."""
        tokenizer = build_tokenizer(args.llm_conf)
        vocabulary = load_vocabulary(args.ctc_vocab, tokenizer)
        return SerializedTextPreprocessor(tokenizer, vocabulary, args.num_talkers)

    @classmethod
    def build_iter_options(cls, args, distributed_option, mode: str):
        """ESPnet's, with each talker alone where the training compares streams with theirs."""
        options = super().build_iter_options(args, distributed_option, mode)
        if mode == "train" and args.model_conf.get("stream_weight"):
            mixtures = [path for path, name, kind in options.data_path_and_name_and_type if kind == "mixture"]
            if not mixtures:
                raise UserError("model_conf.stream_weight: needs mixtures as training data, not frames of a cache")
            options.data_path_and_name_and_type = [
                *options.data_path_and_name_and_type,
                (mixtures[0], "talkers", "mixture_talkers"),
            ]
        return options

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """What the data must have: text; for inference speech."""
        return ("speech",) if inference else ("text",)

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """What the data may have: speech, or frames and prompts from a cache."""
        return () if inference else ("speech", "talkers", *KINDS)  # frames instead of speech

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: SOPModel) -> list[torch.optim.Optimizer]:
        """ESPnet's, in which some parts may learn more slowly than others.

        Raises:
            UserError: `lr_scale_conf` names what is not trained, or has what is no share.
        """
        require_keys("lr_scale_conf", args.lr_scale_conf)
        for name, scale in args.lr_scale_conf.items():
            if name not in model.trainable:
                raise UserError(f"lr_scale_conf: {name!r} is not in model_conf.trainable")
            if not is_number(scale) or not 0 < scale <= 1:
                raise UserError(f"lr_scale_conf.{name}: {scale!r} is not from above 0 to 1")
        optimizers = super().build_optimizers(args, model)
        if args.lr_scale_conf:
            parts = model.parameters_by_part()
            scales = {p: scale for name, scale in args.lr_scale_conf.items() for p in parts[name]}
            scale_learning_rates(optimizers[0], scales)
        return optimizers

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> SOPModel:
        """Builds the model and checks the checkpoints that it starts from.

        Raises:
            UserError: A key is wrong, a part cannot be loaded, or a checkpoint does not fit.
        """
        model = build_model(args)
        for path in args.init_param:
            check_checkpoint(path.partition(":")[0], model)
        return model
