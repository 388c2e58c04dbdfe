"""WHAM noises, and the noises of changed speed that LibriMix adds for training."""

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

from espnet2_sop.mixture.audio import AudioReader, write_wav
from espnet2_sop.mixture.parallel import run
from espnet2_sop.mixture.render import change_speed

AUGMENTED = re.compile(r"(?P<stem>.+)sp(?P<speed>08|12)(?P<extension>\.\w+)")
SPEEDS = {"08": 0.8, "12": 1.2}


@dataclasses.dataclass(frozen=True)
class NewNoise:
    """A noise to be made: `plain` played at `speed` becomes `path`."""

    path: str
    plain: str
    speed: float


@dataclasses.dataclass(frozen=True)
class Noises:
    """Where the noises of a metadata CSV are.

    Attributes:
        paths: {noise_path of the CSV: audio file}.
        new: The audio files that have to be made.
    """

    paths: dict[str, str]
    new: list[NewNoise]

    @property
    def needed(self) -> list[str]:
        """The files that must exist before new noises are made."""
        made = {noise.path for noise in self.new}
        return [path for path in self.paths.values() if path not in made] + [noise.plain for noise in self.new]

    def make(self, nj: int = 1) -> None:
        """Makes the new noises in nj processes; each file is written completely or not at all."""
        for _ in run(_make, self.new, nj, "noises of changed speed"):
            pass


def find_noises(names: Iterable[str], root: str | Path, augmented: str | Path | None = None) -> Noises:
    """Finds noises below a WHAM folder, with or without those of changed speed.

    LibriMix trains with 20,000 noises of WHAM and the same at speeds 0.8 and 1.2: `tr/NAMEsp08.wav` and
    `tr/NAMEsp12.wav`, the first channel of `tr/NAME.wav` after SoX's `speed` (augment_train_noise.py), in the same
    folder. If they are missing, `change_speed` can make them in another folder. It uses the resampler of SoX as a
    library: the noises have the same length and differ from those of SoX 14.4 by at most 3 steps of 16 bits (0.05 on
    average).

    Args:
        names: Names relative to `root`, as in a metadata CSV.
        root: WHAM noise folder.
        augmented: Folder for noises of changed speed that `root` lacks; None makes none.

    Returns:
        The audio file of each name, and those that have to be made.
    """
    paths, new = {}, []
    for name in names:
        paths[name] = os.path.join(root, name)
        match = AUGMENTED.fullmatch(name)
        outside = os.path.isabs(name) or ".." in Path(name).parts  # nothing is written beside the folder
        if augmented is None or match is None or outside or os.path.isfile(paths[name]):
            continue
        paths[name] = os.path.join(augmented, name)
        if not os.path.isfile(paths[name]):
            plain = os.path.join(root, match["stem"] + match["extension"])
            new.append(NewNoise(paths[name], plain, SPEEDS[match["speed"]]))
    return Noises(paths, new)


def _make(noise: NewNoise) -> None:
    samples = AudioReader().read(noise.plain, first_channel=True)
    write_wav(noise.path, change_speed(samples, noise.speed))
