"""Mixtures whose audio cannot be read: left out of their batches, written down, and no more than a share of them.

A mixture is left out as a whole: without one of its talkers its text would be wrong. The others of its batch stay
together as they were drawn, so all depends on the seed, the epoch and the files alone, and a run that resumes sees the
same batches.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet2.iterators.abs_iter_factory import AbsIterFactory

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.loader import MixtureStore

NAME = "bad_audio.tsv"
COLUMNS = ("set", "epoch", "mixture", "reason")

Batch = tuple[list[str], Any]


class DropBadAudio:
    """Makes batches of the mixtures that could be read; to be called where they were read.

    Args:
        collate: Makes a batch of [(id, data)].
        store: Where the waveforms came from; skips bad audio from now on.

    Returns (when called):
        Ids, batch ({} if all mixtures are bad), and {id: reason} of those that are left out.
    """

    def __init__(self, collate: Callable[[Sequence[tuple[str, Any]]], Batch], store: MixtureStore):
        self.collate = collate
        self.store = store
        store.skip_bad_audio = True

    def __call__(self, rows: Sequence[tuple[str, Any]]) -> tuple[list[str], Any, dict[str, str]]:
        """Collates the rows that were read."""
        bad = {name: self.store.bad[name] for name, _ in rows if name in self.store.bad}
        good = [row for row in rows if row[0] not in bad]
        return (*self.collate(good), bad) if good else ([], {}, bad)


class ReadableBatches:
    """The batches of a loader with `DropBadAudio`, as the trainer wants them; empty ones are passed over.

    Args:
        loader: Gives (ids, batch, bad).
        title: What they are, for messages, such as `train, epoch 3`.
        log: File that the names of bad mixtures are added to.
        limit: Largest share of bad mixtures; the mixtures of the loader's batches are the whole.
    """

    def __init__(self, loader: Iterable, title: tuple[str, int], log: Path, limit: float):
        self.loader = loader
        self.title = title
        self.log = log
        self.limit = limit

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        left_out, total = 0, sum(map(len, self.loader.batch_sampler))
        for ids, batch, bad in self.loader:
            if bad:
                left_out += len(bad)
                note(self.log, [(*self.title, name, why) for name, why in bad.items()])
                if left_out > self.limit * total:
                    raise UserError(
                        f"{left_out} of {total} mixtures ({self.title[0]}, epoch {self.title[1]}) have audio that "
                        f"cannot be read, more than bad_audio_limit {self.limit:g}; the last one: "
                        f"{list(bad.values())[-1]}; all are in {self.log}; mend the files and give the command again"
                    )
            if ids:
                yield ids, batch


class ReadableEpochs(AbsIterFactory):
    """Another factory, whose loaders have `DropBadAudio`.

    Args:
        factory: Builds the loaders.
        mode: `train` or `valid`.
        log: As for `ReadableBatches`.
        limit: As for `ReadableBatches`.
    """

    def __init__(self, factory: AbsIterFactory, mode: str, log: Path, limit: float):
        self.factory = factory
        self.mode = mode
        self.log = log
        self.limit = limit

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> ReadableBatches:
        """The batches of one epoch (from 1)."""
        return ReadableBatches(self.factory.build_iter(epoch, shuffle), (self.mode, epoch), self.log, self.limit)


def note(log: Path, rows: Iterable[Sequence[object]]) -> None:
    """Adds rows (`COLUMNS`) to a list of bad audio, if they are not in it from before an interruption."""
    known = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    with open(log, "a", encoding="utf-8", newline="") as f:
        if known and not log.read_bytes().endswith(b"\n"):  # cut off by an interruption
            f.write("\n")
        writer = csv.writer(f, delimiter="\t", lineterminator="\n")
        if not known:
            writer.writerow(COLUMNS)
        writer.writerows(row for row in rows if "\t".join(map(str, row)) not in known)
