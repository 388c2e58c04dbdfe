"""The part that the ESPnet2 tasks of this package share: data of mixtures."""

import argparse
from pathlib import Path

import torch
from espnet2.tasks.abs_task import scheduler_classes

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import loader
from espnet2_sop.training.bad_audio import NAME, DropBadAudio, ReadableEpochs
from espnet2_sop.training.iterator import MixtureIterFactory, SeededEpochs
from espnet2_sop.training.trainer import SafeTrainer

loader.register()


class MixtureTask:
    """Mixin for a subclass of `AbsTask`, to be named before it: its data are manifests or simulations of mixtures."""

    trainer = SafeTrainer

    @classmethod
    def add_mixture_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds the options of the data, and lets a repeated command resume its run; called by `add_task_arguments`."""
        parser.set_defaults(resume=True)
        group = parser.add_argument_group("Mixtures")
        group.add_argument(
            "--single_talker_epochs",
            type=int,
            default=0,
            help="so many epochs at the start have single talkers only: what is new aligns first",
        )
        group = parser.add_argument_group("Faults")
        group.add_argument(
            "--bad_audio",
            choices=("strict", "skip"),
            default="strict",
            help="a mixture with an audio file that cannot be read: ends the training, or is left out and listed in "
            "bad_audio.tsv of the output folder",
        )
        group.add_argument(
            "--bad_audio_limit", type=float, default=0.01, help="largest share of an epoch's mixtures to be left out"
        )
        group.add_argument(
            "--nonfinite_limit",
            type=int,
            default=20,
            help="so many updates in a row without a finite gradient, which are left out, end the training",
        )

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Runs ESPnet's worker with denormal numbers flushed to zero.

        Gradients of CTC have many of them, and they slow a CPU down several times. The setting comes first because
        torch's threads inherit it from the thread that starts them.
        """
        torch.set_flush_denormal(True)
        try:
            super().main_worker(args)
        finally:
            torch.set_flush_denormal(False)

    @classmethod
    def build_optimizers(cls, args, model) -> list[torch.optim.Optimizer]:
        """Builds ESPnet's optimizers; what optimizer or scheduler refuse gives an error of one line.

        Args:
            args: Options of the training.
            model: Model whose parameters are trained.

        Returns:
            One optimizer.

        Raises:
            UserError: A key or value of `optim_conf` or `scheduler_conf` is wrong.
        """
        option = "optim_conf"
        try:
            (trial,) = super().build_optimizers(args, torch.nn.Linear(1, 1))  # a scheduler leaves its marks on it
            option = "scheduler_conf"
            if args.scheduler:
                scheduler_classes[args.scheduler](trial, **args.scheduler_conf)
        except (TypeError, ValueError) as error:
            name = args.optim if option == "optim_conf" else args.scheduler
            raise UserError(f"{option}: {name} refuses it ({error})") from None
        return super().build_optimizers(args, model)

    @classmethod
    def build_iter_factory(cls, args, distributed_option, mode: str, kwargs: dict | None = None):
        """Builds ESPnet's iterator factory, with random numbers by epoch in training, and without bad audio if asked.

        Args:
            args: Options of the training.
            distributed_option: ESPnet's options of distributed training.
            mode: `train`, `valid` or `plot_att`.
            kwargs: Options that overrule those of `args`.

        Returns:
            The factory.
        """
        factory = super().build_iter_factory(args, distributed_option, mode, kwargs)
        if isinstance(getattr(factory, "collate_fn", None), DropBadAudio):
            factory = ReadableEpochs(factory, mode, Path(args.output_dir) / NAME, args.bad_audio_limit)
        return SeededEpochs(factory, args.seed) if mode == "train" else factory

    @classmethod
    def build_sequence_iter_factory(cls, args, iter_options, mode: str):
        """Builds batches of mixtures: in training anew in every epoch, by length of audio and text.

        Other batches, such as those of validation, come from ESPnet's samplers.

        Args:
            args: Options of the training.
            iter_options: ESPnet's options of the data of this mode.
            mode: `train`, `valid` or `plot_att`.

        Returns:
            The iterator factory.

        Raises:
            UserError: Epochs of single talkers are asked for, and the data cannot be chosen by talkers.
        """
        mixtures = (p for p, _, kind in iter_options.data_path_and_name_and_type if kind.startswith("mixture"))
        path = next(mixtures, "")
        drawn = path.endswith(".yaml")
        if path and args.bad_audio == "skip" and mode in ("train", "valid") and not args.collect_stats:
            iter_options.collate_fn = DropBadAudio(iter_options.collate_fn, loader.open_store(path))
        if not drawn and (mode != "train" or not path or iter_options.batch_type != "numel"):
            if mode == "train" and args.single_talker_epochs:
                raise UserError("--single_talker_epochs: needs a simulation or mixtures.jsonl, and batch_type numel")
            return super().build_sequence_iter_factory(args, iter_options, mode)
        return MixtureIterFactory(
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
