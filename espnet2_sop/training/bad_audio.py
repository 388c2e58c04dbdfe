"""Mixtures with unreadable audio are left out of their batches and listed, up to a share of the epoch.

A mixture is left out as a whole, because its text would be wrong without one of its talkers. The rest of its batch
stays as it was drawn. Batches therefore depend on the seed, the epoch and the files only, and a run that resumes sees
the same batches.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, override

from espnet2.iterators.abs_iter_factory import AbsIterFactory

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.loader import MixtureStore

NAME = "bad_audio.tsv"
COLUMNS = ("set", "epoch", "mixture", "reason")

Batch = tuple[list[str], Any]


class DropBadAudio:
    """Collates the mixtures of a batch that could be read; called in the process that reads them.

    Args:
        collate: Makes a batch of [(id, data)].
        store: Source of the waveforms; set to skip bad audio.
    """

    def __init__(self, collate: Callable[[Sequence[tuple[str, Any]]], Batch], store: MixtureStore):
        self.collate = collate
        self.store = store
        store.skip_bad_audio = True

    def __call__(self, rows: Sequence[tuple[str, Any]]) -> tuple[list[str], Any, dict[str, str]]:
        """Collates a batch without its unreadable mixtures.

        Args:
            rows: [(id, data)] of all mixtures of the batch.

        Returns:
            Ids, batch ({} if all mixtures are bad), and {id: reason} of the mixtures that are left out.
        """
        bad = {name: self.store.bad[name] for name, _ in rows if name in self.store.bad}
        good = [row for row in rows if row[0] not in bad]
        return (*self.collate(good), bad) if good else ([], {}, bad)


class ReadableBatches:
    """The batches of a loader with `DropBadAudio` in the form that ESPnet's trainer reads; empty batches are skipped.

    Args:
        loader: Yields (ids, batch, bad).
        title: (`train` or `valid`, epoch), for messages.
        log: File to which the names of bad mixtures are added.
        limit: Largest share of bad mixtures among those of the loader.
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
    """Wraps an iterator factory whose loaders have `DropBadAudio`.

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

    @override
    def build_iter(self, epoch: int, shuffle: bool | None = None) -> ReadableBatches:
        """Returns the batches of an epoch (from 1)."""
        return ReadableBatches(self.factory.build_iter(epoch, shuffle), (self.mode, epoch), self.log, self.limit)


def note(log: Path, rows: Iterable[Sequence[object]]) -> None:
    """Adds rows to a list of bad audio; rows that are in it already, from before an interruption, are skipped.

    Args:
        log: The list, a file with tab-separated `COLUMNS`.
        rows: Values of `COLUMNS`.
    """
    known = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    with open(log, "a", encoding="utf-8", newline="") as f:
        if known and not log.read_bytes().endswith(b"\n"):  # cut off by an interruption
            f.write("\n")
        writer = csv.writer(f, delimiter="\t", lineterminator="\n")
        if not known:
            writer.writerow(COLUMNS)
        writer.writerows(row for row in rows if "\t".join(map(str, row)) not in known)
