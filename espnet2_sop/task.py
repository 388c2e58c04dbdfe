"""The ESPnet2 task: options, data and model of all three stages."""

import argparse

import torch
from espnet2.tasks.abs_task import AbsTask
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.trainer import Trainer
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet2_sop.assembly import build_model, check_checkpoint, encoder_choices, separator_choices
from espnet2_sop.errors import UserError
from espnet2_sop.llm.tokenizer import build_tokenizer
from espnet2_sop.mixture import loader
from espnet2_sop.mixture.iterator import SimulationIterFactory
from espnet2_sop.model import IGNORE, SOPModel
from espnet2_sop.text.preprocessor import SerializedTextPreprocessor
from espnet2_sop.text.vocabulary import load_vocabulary

loader.register()


class SOPTask(AbsTask):
    """Trains `SOPModel` with ESPnet's own trainer, checkpoints, averaging and resume."""

    num_optimizers = 1
    class_choices_list = [encoder_choices, separator_choices]
    trainer = Trainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        # no attention to plot, curves are in images/, and the mask embedding of the encoder is not used in every step
        parser.set_defaults(num_att_plot=0, use_tensorboard=False, unused_parameters=True)
        group = parser.add_argument_group("Serialized Output Prompting")
        group.add_argument("--ctc_vocab", type=str_or_none, help="folder made by `espnet2-sop vocab`")
        group.add_argument("--num_talkers", type=int, default=3, help="talker slots of the model")
        group.add_argument(
            "--single_talker_epochs",
            type=int,
            default=0,
            help="so many epochs at the start draw single talkers only: the projector aligns first (simulations only)",
        )
        for name, text in {
            "downsampler": "ConvDownsampler",
            "llm": "the LLM: pretrained, revision, speaker_change, dtype, adapters",
            "prompt": "PromptBuilder",
            "model": "SOPModel: objective, trainable, tap, sop_corruption",
        }.items():
            group.add_argument(f"--{name}_conf", action=NestedDictAction, default={}, help=text)
        for choices in cls.class_choices_list:
            choices.add_arguments(group)

    @classmethod
    def build_collate_fn(cls, args, train: bool):
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=IGNORE)

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        tokenizer = build_tokenizer(args.llm_conf)
        vocabulary = load_vocabulary(args.ctc_vocab, tokenizer)
        return SerializedTextPreprocessor(tokenizer, vocabulary, args.num_talkers)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return ("speech",) if inference else ("speech", "text")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return ()

    @classmethod
    def build_sequence_iter_factory(cls, args, iter_options, mode: str):
        """Static sets go through ESPnet's samplers; a simulation draws its mixtures anew in every epoch."""
        paths = iter_options.data_path_and_name_and_type
        if not any(path.endswith(".yaml") for path, _, kind in paths if kind == "mixture"):
            if mode == "train" and args.single_talker_epochs:
                raise UserError("--single_talker_epochs: only a simulation (simulation.yaml) can draw single talkers")
            return super().build_sequence_iter_factory(args, iter_options, mode)
        (path,) = {path for path, _, kind in paths if kind == "mixture"}
        return SimulationIterFactory(
            store=loader.open_store(path),
            dataset=cls.build_dataset(args, iter_options),
            batch_bins=iter_options.batch_bins,
            max_batch_size=args.max_batch_size,
            seed=args.seed,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            single_talker_epochs=args.single_talker_epochs if mode == "train" else 0,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
            rank=torch.distributed.get_rank() if iter_options.distributed else 0,
            world_size=torch.distributed.get_world_size() if iter_options.distributed else 1,
        )

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> SOPModel:
        model = build_model(args)
        for path in args.init_param:
            check_checkpoint(path.partition(":")[0], model)
        return model
