"""Batches of mixtures for ESPnet's trainer, cut anew in every epoch."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.utils.data import DataLoader, Dataset

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.loader import MixtureStore

JITTER = 0.1  # texts are sorted as if up to 10 % longer or shorter, so that partners in a batch change
BUCKET = 1.1  # longest over shortest mixture of those that are sorted by their texts


def length_batches(
    lengths: Mapping[str, int],
    text_lengths: Mapping[str, int],
    batch_bins: int,
    max_batch_size: int | None,
    rng: np.random.Generator,
) -> list[list[str]]:
    """Cuts ids into batches of similar length of audio and, among those, of text.

    Mixtures of similar length make a bucket, and are sorted by their texts in it: up in one bucket, down in the next,
    so that a batch across the border has similar texts, too. For the LLM text counts as much as audio: three talkers
    say three times what one says in the same time.

    Args:
        lengths: {id: samples}.
        text_lengths: {id: characters}.
        batch_bins: Most samples in a batch with its padding: longest mixture times batch size. A mixture that is
            longer makes a batch of its own.
        max_batch_size: Most mixtures in a batch; None: as many as batch_bins allows.
        rng: Decides the borders of the buckets and the jitter.

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
    """The part of a batch for one process; a batch smaller than the number of processes is repeated to fill it."""
    return list(itertools.islice(itertools.cycle(batch), max(len(batch), world_size)))[rank::world_size]


class MixtureIterFactory(AbsIterFactory):
    """Iterators over the mixtures of a store, drawn (if it is a simulation) and batched by (seed, epoch) alone.

    So a run that resumes at some epoch sees the batches that an uninterrupted run would have seen.

    Args:
        dataset: ESPnet dataset whose loaders read `store`; ids as keys.
        store: Mixtures; `set_epoch` is called on it.
        batch_bins: Most samples in a batch with padding, over all processes.
        max_batch_size: Most mixtures in a batch, over all processes; None: as many as batch_bins allows.
        seed: Seed of jitter, order of batches and workers.
        collate_fn: Makes a batch of data.
        num_iters_per_epoch: So many batches in each epoch; if there are fewer, all of them are cut anew and follow.
        single_talker_epochs: So many epochs at the start have single talkers only.
        num_workers: Processes that read data; 0 reads in the trainer, where decoded audio is remembered.
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
        """Draws the mixtures of an epoch and returns this process's batches of their ids.

        Raises:
            UserError: Single talkers are wanted, and the mixtures, which are not drawn, have none.
        """
        single = epoch <= self.single_talker_epochs
        self.store.set_epoch(epoch, single_talkers=single)
        rng = np.random.default_rng([self.seed, epoch])
        lengths, texts = self.store.lengths(), self.store.text_lengths()
        if single:  # a fixed set has others, too
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

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> DataLoader:
        """The batches of one epoch (from 1) as ESPnet's trainer reads them, in random order unless told otherwise."""
        return DataLoader(
            dataset=self.dataset,
            batch_sampler=self.batches(epoch, shuffle is not False),
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            worker_init_fn=functools.partial(worker_init_fn, base_seed=epoch + self.seed),
        )


class SeededEpochs(AbsIterFactory):
    """Another factory, before whose epochs all random numbers start from (seed, epoch).

    So dropout and prompt corruption of a run that resumes at some epoch are those of an uninterrupted run.
    """

    def __init__(self, factory: AbsIterFactory, seed: int):
        self.factory = factory
        self.seed = seed

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> Iterator:
        """Batches of an epoch (from 1), after all random numbers were set by seed and epoch."""
        set_all_random_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))
        return self.factory.build_iter(epoch, shuffle)
