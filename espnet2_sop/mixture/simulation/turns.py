"""Utterances of one speaker joined to longer turns."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.simulation.pool import Utterance, level_db

PAUSE = (0.2, 0.6)  # seconds of silence between two utterances of a turn


@dataclasses.dataclass(frozen=True)
class Turn:
    """Utterances that follow one another, and the samples of silence before each of them but the first."""

    utterances: tuple[Utterance, ...]
    pauses: tuple[int, ...] = ()

    @property
    def num_samples(self) -> int:
        """Length in samples with the pauses."""
        return sum(self.pauses) + sum(utterance.num_samples for utterance in self.utterances)

    def followed_by(self, utterance: Utterance, pause: int) -> "Turn":
        """Appends an utterance.

        Args:
            utterance: Next utterance of the speaker.
            pause: Samples of silence before it.

        Returns:
            The longer turn.
        """
        return Turn((*self.utterances, utterance), (*self.pauses, pause))


def draw_turns(pool: Sequence[Utterance], seconds: tuple[float, float], seed: int) -> Iterator[Turn]:
    """Joins utterances of a speaker that follow one another in a folder (in LibriSpeech, a chapter) to turns.

    The length of each turn is drawn from U(seconds). Utterances are added until it is reached, or until the next one
    would exceed the longest turn. With [0, 10] some turns are one utterance and others many.

    Args:
        pool: Single utterances in the order in which they were spoken, which is the order of their ids.
        seconds: Shortest and longest turn. A turn is shorter at the end of a folder or before a long utterance, and
            longer if it is one long utterance.
        seed: Seed of the lengths and of the pauses, which are U(0.2, 0.6) s.

    Yields:
        Turns; every utterance of the pool is in one of them.
    """
    rng = np.random.default_rng(seed)
    low, high = (round(limit * SAMPLE_RATE) for limit in seconds)
    for _, group in itertools.groupby(pool, lambda u: (u.speaker, Path(u.path).parent)):
        first, *others = group
        turn, wanted = Turn((first,)), rng.uniform(low, high)
        for utterance in others:
            longer = turn.followed_by(utterance, round(rng.uniform(*PAUSE) * SAMPLE_RATE))
            if turn.num_samples >= wanted or longer.num_samples > high:
                yield turn
                longer, wanted = Turn((utterance,)), rng.uniform(low, high)
            turn = longer
        yield turn


def join(turn: Turn, reader: AudioReader) -> np.ndarray:
    """The waveform of a turn.

    Args:
        turn: Utterances with pauses.
        reader: Reads the audio files.

    Returns:
        (turn.num_samples,) float32, 16 kHz; levels are not changed.
    """
    parts = []
    for utterance, pause in zip(turn.utterances, (0, *turn.pauses), strict=True):
        start = utterance.offset or 0
        parts += [np.zeros(pause, np.float32), reader.read(utterance.path, start, start + utterance.num_samples)]
    return np.concatenate(parts)


def joined_utterance(turn: Turn, path: Path, samples: np.ndarray) -> Utterance:
    """A turn as one utterance of the pool.

    Args:
        turn: Utterances with pauses.
        path: File of the waveform.
        samples: (T,) float32, the waveform.

    Returns:
        The utterance, with the id of the first one of the turn.
    """
    first, text = turn.utterances[0], " ".join(utterance.text for utterance in turn.utterances)
    return Utterance(first.id, str(path), first.speaker, text, len(samples), level_db(samples, path))
