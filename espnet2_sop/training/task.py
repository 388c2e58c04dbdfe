"""The ESPnet2 task of all stages: options, data and model."""

import argparse
from typing import override

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
    """Trains `SOPModel` with ESPnet's trainer, which also writes, averages and resumes checkpoints."""

    num_optimizers = 1
    class_choices_list = [encoder_choices, separator_choices, llm_choices]

    @classmethod
    @override
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options of the model and of the data to ESPnet's."""
        # there is no attention to plot, curves are in images/, the encoder's mask embedding is not used in every step
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
    @override
    def build_collate_fn(cls, args, train: bool):
        """Returns the function that makes batches: speech is padded with 0, text with `IGNORE`."""
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=IGNORE)

    @classmethod
    @override
    def build_preprocess_fn(cls, args, train: bool):
        """Returns the function that turns words into token ids of the LLM and of each CTC head."""
        tokenizer = build_tokenizer(args.llm_conf)
        vocabulary = load_vocabulary(args.ctc_vocab, tokenizer)
        return SerializedTextPreprocessor(tokenizer, vocabulary, args.num_talkers)

    @classmethod
    @override
    def build_iter_options(cls, args, distributed_option, mode: str):
        """Returns ESPnet's options of the data, with each talker alone added where the stream loss needs it.

        Raises:
            UserError: The stream loss needs mixtures, and the training reads frames of a cache.
        """
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
    @override
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Names of data that must be there: text; in inference speech."""
        return ("speech",) if inference else ("text",)

    @classmethod
    @override
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Names of data that may be there: speech, talkers alone, frames and prompts of a cache."""
        return () if inference else ("speech", "talkers", *KINDS)  # frames instead of speech

    @classmethod
    @override
    def build_optimizers(cls, args: argparse.Namespace, model: SOPModel) -> list[torch.optim.Optimizer]:
        """Builds ESPnet's optimizer; parts in `lr_scale_conf` get a share of the learning rate.

        Raises:
            UserError: `lr_scale_conf` names a part that is not trained, or a value is not a share.
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
    @override
    def build_model(cls, args: argparse.Namespace) -> SOPModel:
        """Builds the model and checks the checkpoints that it starts from.

        Raises:
            UserError: A key is wrong, a part cannot be loaded, or a checkpoint does not fit.
        """
        model = build_model(args)
        for path in args.init_param:
            check_checkpoint(path.partition(":")[0], model)
        return model
