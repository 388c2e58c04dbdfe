"""Copies of data directories without mixtures that are too long or too short."""

import dataclasses
from collections import Counter
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.datadir import check_data_dir, read_info, write_data_dir
from espnet2_sop.mixture.manifest import read_manifest
from espnet2_sop.mixture.simulation.rule import Simulation

SHOWN = 5  # problems in a message


@dataclasses.dataclass(frozen=True)
class LengthFilter:
    """Copies a data directory without mixtures (or utterances of a simulation) that are too long or too short.

    Attributes:
        src: Data directory.
        dst: Data directory to make.
        shortest: Seconds.
        longest: Seconds.
    """

    src: Path
    dst: Path
    shortest: float
    longest: float

    def __call__(self) -> tuple[int, Counter]:
        """Writes the copy.

        Returns:
            Number of mixtures or utterances kept, and {reason: number left out}.

        Raises:
            UserError: Nothing is left, a file is missing or broken, or the copy has problems.
        """
        return self._simulation() if (self.src / "simulation.yaml").is_file() else self._mixtures()

    def _select(self, items: list) -> tuple[list, Counter]:
        """The items with a fitting `num_samples`, and {reason: number of the others}."""
        kept, dropped = [], Counter()
        for item in items:
            if item.num_samples > self.longest * SAMPLE_RATE:
                dropped[f"longer than {self.longest:g} s"] += 1
            elif item.num_samples < self.shortest * SAMPLE_RATE:
                dropped[f"shorter than {self.shortest:g} s"] += 1
            else:
                kept.append(item)
        if not kept:
            raise UserError(f"{self.src}: nothing is {self.shortest:g} to {self.longest:g} s long; change the limits")
        return kept, dropped

    def _mixtures(self) -> tuple[int, Counter]:
        """Copies fixed mixtures; speech_shape is added for ESPnet's batches."""
        info = read_info(self.src)
        kept, dropped = self._select(read_manifest(self.src / "mixtures.jsonl"))
        (self.dst / "info.json").unlink(missing_ok=True)
        write_kaldi(self.dst / "speech_shape", sorted((mixture.id, mixture.num_samples) for mixture in kept))
        write_data_dir(kept, self.dst, info["condition"], info["num_talkers"])
        if problems := check_data_dir(self.dst):
            (self.dst / "info.json").unlink()
            more = f"; and {len(problems) - SHOWN} more problems" if len(problems) > SHOWN else ""
            raise UserError("; ".join(problems[:SHOWN]) + more)
        return len(kept), dropped

    def _simulation(self) -> tuple[int, Counter]:
        """Copies the pool of a simulation and tries to draw from it."""
        rule = self.src / "simulation.yaml"
        held = Simulation.read(rule)
        kept, dropped = self._select(held.pool)
        held = dataclasses.replace(held, pool=kept)
        if missing := held.missing_files():
            raise UserError(
                f"{self.src}: {len(missing)} audio files are missing, such as {missing[0]}; prepare it again"
            )
        held.draw(1)
        held.write(rule, self.dst)
        return len(kept), dropped
