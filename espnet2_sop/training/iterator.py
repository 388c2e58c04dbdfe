"""Batches of mixtures for ESPnet's trainer, made anew in every epoch."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import override

import numpy as np
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.utils.data import DataLoader, Dataset

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.loader import MixtureStore

JITTER = 0.1  # text lengths vary by up to 10 % for sorting, so that batches differ between epochs
BUCKET = 1.1  # ratio of the longest to the shortest mixture of a bucket


def length_batches(
    lengths: Mapping[str, int],
    text_lengths: Mapping[str, int],
    batch_bins: int,
    max_batch_size: int | None,
    rng: np.random.Generator,
) -> list[list[str]]:
    """Groups ids into batches of similar audio length and, within it, of similar text length.

    Mixtures of similar audio length make a bucket, in which they are sorted by text length: upwards in one bucket,
    downwards in the next, so that a batch across two buckets has similar texts, too. Text length matters to the LLM as
    much as audio length: three talkers say three times as much as one in the same time.

    Args:
        lengths: {id: samples}.
        text_lengths: {id: characters}.
        batch_bins: Largest number of samples in a batch with padding: longest mixture times batch size. A longer
            mixture makes a batch of its own.
        max_batch_size: Largest number of mixtures in a batch; None: no limit but batch_bins.
        rng: Draws the borders of the buckets and the jitter.

    Returns:
        Batches of ids, short mixtures first; every id is in exactly one.
    """
    names = list(lengths)
    samples = np.array([lengths[name] for name in names])
    buckets = np.floor(np.log(np.maximum(samples, 1)) / np.log(BUCKET) + rng.random())
    texts = np.array([text_lengths[name] for name in names]) * rng.uniform(1 - JITTER, 1 + JITTER, len(names))
    order = np.lexsort((np.where(buckets % 2, -texts, texts), buckets))
    most = max_batch_size or len(names)
    batches: list[list[str]] = []
    longest = 0
    for index in order:
        longest = max(longest, samples[index])
        if batches and len(batches[-1]) < most and longest * (len(batches[-1]) + 1) <= batch_bins:
            batches[-1].append(names[index])
        else:
            batches.append([names[index]])
            longest = samples[index]
    return batches


def shard(batch: Sequence[str], rank: int, world_size: int) -> list[str]:
    """Takes the share of a batch for one process; a batch with fewer mixtures than processes is repeated.

    Args:
        batch: Ids of the whole batch.
        rank: Number of the process, from 0.
        world_size: Number of processes.

    Returns:
        Ids for this process, at least one.
    """
    return list(itertools.islice(itertools.cycle(batch), max(len(batch), world_size)))[rank::world_size]


class MixtureIterFactory(AbsIterFactory):
    """Iterators over the mixtures of a store; simulated mixtures and batches depend on seed and epoch only.

    A run that resumes therefore sees the batches of an uninterrupted run.

    Args:
        dataset: ESPnet dataset whose loaders read `store`; keys are ids.
        store: Mixtures; `set_epoch` is called on it.
        batch_bins: Largest number of samples in a batch with padding, over all processes.
        max_batch_size: Largest number of mixtures in a batch, over all processes; None: no limit but batch_bins.
        seed: Seed of jitter, order of batches and workers.
        collate_fn: Makes a batch of data.
        num_iters_per_epoch: Batches in an epoch; if there are fewer, all mixtures are batched again. None: all once.
        single_talker_epochs: Number of epochs at the start that have single talkers only.
        num_workers: Processes that read data; 0 reads in the trainer, which caches decoded audio.
        pin_memory: As in torch's DataLoader.
        rank: Number of this process in distributed training.
        world_size: Number of processes; each takes every world_size-th mixture of each batch, as in ESPnet.
    """

    def __init__(
        self,
        dataset: Dataset,
        store: MixtureStore,
        batch_bins: int,
        max_batch_size: int | None = None,
        seed: int = 0,
        collate_fn: Callable | None = None,
        num_iters_per_epoch: int | None = None,
        single_talker_epochs: int = 0,
        num_workers: int = 0,
        pin_memory: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.dataset = dataset
        self.store = store
        self.batch_bins = batch_bins
        self.max_batch_size = max_batch_size
        self.seed = seed
        self.collate_fn = collate_fn
        self.num_iters_per_epoch = num_iters_per_epoch
        self.single_talker_epochs = single_talker_epochs
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.rank = rank
        self.world_size = world_size

    def batches(self, epoch: int, shuffle: bool = True) -> list[list[str]]:
        """Draws the mixtures of an epoch and makes batches of them.

        Args:
            epoch: From 1.
            shuffle: Whether the batches come in random order.

        Returns:
            Ids of each batch of this process.

        Raises:
            UserError: Single talkers are asked for, and a fixed set of mixtures has none.
        """
        single = epoch <= self.single_talker_epochs
        self.store.set_epoch(epoch, single_talkers=single)
        rng = np.random.default_rng([self.seed, epoch])
        lengths, texts = self.store.lengths(), self.store.text_lengths()
        if single:  # a fixed set also has mixtures of more talkers
            lengths = {name: n for name, n in lengths.items() if self.store.mixtures[name].num_talkers == 1}
        if not lengths:
            raise UserError("--single_talker_epochs: no mixture of the training set has a single talker; leave it out")
        batches: list[list[str]] = []
        while not batches or len(batches) < (self.num_iters_per_epoch or 0):
            found = length_batches(lengths, texts, self.batch_bins, self.max_batch_size, rng)
            if shuffle:
                rng.shuffle(found)
            batches += found
        return [shard(batch, self.rank, self.world_size) for batch in batches[: self.num_iters_per_epoch]]

    @override
    def build_iter(self, epoch: int, shuffle: bool | None = None) -> DataLoader:
        """Returns the batches of an epoch (from 1), in random order unless `shuffle` is False."""
        return DataLoader(
            dataset=self.dataset,
            batch_sampler=self.batches(epoch, shuffle is not False),
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            worker_init_fn=functools.partial(worker_init_fn, base_seed=epoch + self.seed),
        )


class SeededEpochs(AbsIterFactory):
    """Wraps an iterator factory and seeds all random numbers from (seed, epoch) before each epoch.

    Dropout and prompt corruption of a run that resumes are therefore those of an uninterrupted run.

    Args:
        factory: Builds the iterators.
        seed: Seed of the training.
    """

    def __init__(self, factory: AbsIterFactory, seed: int):
        self.factory = factory
        self.seed = seed

    @override
    def build_iter(self, epoch: int, shuffle: bool | None = None) -> Iterator:
        """Seeds all random numbers and returns the batches of an epoch (from 1)."""
        set_all_random_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))
        return self.factory.build_iter(epoch, shuffle)
