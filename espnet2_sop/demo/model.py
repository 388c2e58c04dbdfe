"""A trained model in all modes that it was trained for, with its weights in memory once."""

from collections.abc import Callable

import numpy as np

from espnet2_sop.decoding.decoder import Decoder, trained_modes
from espnet2_sop.decoding.speech2text import Speech2Text
from espnet2_sop.decoding.talker import Talker


class Recogniser:
    """Writes what the talkers of a recording say, in one of several modes.

    Args:
        opened: In the mode in which the model was trained.
    """

    def __init__(self, opened: Speech2Text):
        self.network = opened.decoder.model
        self.modes = trained_modes(self.network)
        self._opened = {
            mode: Speech2Text(Decoder(self.network, mode), batch_size=1) for mode in self.modes
        }  # segments one by one, so that progress can be shown

    def __call__(self, waveform: np.ndarray, mode: str, progress: Callable[[float], object]) -> list[Talker]:
        """Recognises a waveform (T,) float32, 16 kHz; only one call at a time, as the modes share the network.

        Args:
            waveform: The recording.
            mode: One of `modes`.
            progress: Called with the seconds of audio of every segment that is done.
        """
        self.network.use(mode)
        return self._opened[mode].batch([waveform], progress=progress)[0]
