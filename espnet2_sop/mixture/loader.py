"""Waveforms and texts of mixtures for ESPnet's dataset, mixed while reading."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.manifest import Mixture, read_manifest
from espnet2_sop.mixture.render import render, render_talkers
from espnet2_sop.mixture.simulation.rule import Simulation

CACHE_BYTES = 256 * 2**20


@functools.cache
def shared_reader() -> AudioReader:
    """The audio reader of this process. All stores share it, so there is one bounded cache."""
    return AudioReader(CACHE_BYTES)


class MixtureStore:
    """The mixtures of one manifest or simulation.

    Args:
        path: A mixture manifest (`.jsonl`), or the rule of a simulation (`.yaml`) with its pools beside it.

    Attributes:
        skip_bad_audio: True: an audio file that cannot be read gives silence and an entry in `bad`. False: an error.
        bad: {id: reason} of the mixtures of this epoch that could not be rendered in this process.

    Raises:
        UserError: The file or one that it names cannot be read or is wrong, or there are no mixtures.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        self.drawn = (1, False)  # epoch, single talkers only
        self.skip_bad_audio = False
        self.simulation = None
        if path.suffix == ".jsonl":
            self._take(read_manifest(path))
        elif path.suffix == ".yaml":
            self.simulation = Simulation.read(path)
            self._take(self.simulation.draw(1))
        else:
            raise UserError(f"{path}: expected a mixture manifest (.jsonl) or a simulation (.yaml)")
        if not self.mixtures:
            raise UserError(f"{path}: no mixtures in it")

    def _take(self, mixtures: list[Mixture]) -> None:
        self.mixtures = {mixture.id: mixture for mixture in mixtures}
        self.bad: dict[str, str] = {}

    def set_epoch(self, epoch: int, single_talkers: bool = False) -> None:
        """Draws the mixtures of an epoch; those of a manifest do not change.

        Args:
            epoch: Number from 1; the mixtures are a function of it and of the seed of the rule.
            single_talkers: Draw one talker for each mixture instead of the numbers of the rule.
        """
        if self.simulation is not None and (epoch, single_talkers) != self.drawn:
            self._take(self.simulation.draw(epoch, single_talkers))
            self.drawn = (epoch, single_talkers)

    def lengths(self) -> dict[str, int]:
        """{id: samples} of the rendered mixtures."""
        return {name: mixture.num_samples for name, mixture in self.mixtures.items()}

    def text_lengths(self) -> dict[str, int]:
        """{id: characters of all talkers}."""
        return {name: sum(len(s.text) for s in mixture.sources) for name, mixture in self.mixtures.items()}

    def waveform(self, name: str) -> np.ndarray:
        """Renders one mixture: (T,) float32, 16 kHz.

        Raises:
            UserError: One of its files is missing, broken, or of another length than the manifest says.
        """
        mixture = self.mixtures[name]
        try:
            return render(mixture, shared_reader())
        except UserError as error:
            if not self.skip_bad_audio:
                raise UserError(f"mixture {name}: {error}") from None
            self.bad[name] = str(error)
            return np.zeros(mixture.num_samples, dtype=np.float32)

    def talkers(self, name: str) -> np.ndarray:
        """Each talker of one mixture alone (`render_talkers`): (T, talkers) float32, 16 kHz."""
        mixture = self.mixtures[name]
        if name in self.bad:
            return np.zeros((mixture.num_samples, len(mixture.sources)), dtype=np.float32)
        return render_talkers(mixture, shared_reader())


@functools.cache
def _store(path: Path) -> MixtureStore:
    return MixtureStore(path)


def open_store(path: str | Path) -> MixtureStore:
    """The store of a path, one for all callers in a process."""
    return _store(Path(path).resolve())


class _Loader(Mapping):
    """Mapping from the ids of a store; subclasses define the values."""

    def __init__(self, path: str | Path):
        self.store = open_store(path)

    def __len__(self) -> int:
        return len(self.store.mixtures)

    def __iter__(self) -> Iterator[str]:
        return iter(self.store.mixtures)


class MixtureWaveforms(_Loader):
    """{id: waveform (T,) float32, 16 kHz} of a manifest or a simulation."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.store.waveform(name)


class MixtureTalkers(_Loader):
    """{id: talkers alone (T, talkers) float32, 16 kHz} of a manifest or a simulation."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.store.talkers(name)


class MixtureTexts(_Loader):
    """{id: serialized text} of a manifest or a simulation."""

    def __getitem__(self, name: str) -> str:
        return self.store.mixtures[name].text


def register() -> None:
    """Makes the types `mixture`, `mixture_text`, `mixture_talkers` and `cached` known to ESPnet's datasets
    (`--*_data_path_and_name_and_type`)."""
    from espnet2.train.dataset import DATA_TYPES

    from espnet2_sop.io.tensor_store import CachedTensors

    DATA_TYPES["cached"] = dict(func=CachedTensors, kwargs=[], help="A folder made by `espnet2-sop cache`.")

    # ESPnet takes the first entry that the name starts with, so the longer ones come first.
    DATA_TYPES["mixture_talkers"] = dict(
        func=MixtureTalkers, kwargs=[], help="Each talker alone, of a manifest (.jsonl) or a simulation (.yaml)."
    )
    DATA_TYPES["mixture_text"] = dict(
        func=MixtureTexts, kwargs=[], help="Serialized text of a mixture manifest (.jsonl) or a simulation (.yaml)."
    )
    DATA_TYPES["mixture"] = dict(
        func=MixtureWaveforms, kwargs=[], help="Mixtures of a manifest (.jsonl) or a simulation (.yaml), while reading."
    )
