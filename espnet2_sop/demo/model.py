"""A trained model in every mode it was trained for; its weights are in memory once."""

from collections.abc import Callable

import numpy as np

from espnet2_sop.decoding.decoder import Decoder, trained_modes
from espnet2_sop.decoding.speech2text import Speech2Text
from espnet2_sop.decoding.talker import Talker


class Recogniser:
    """Transcribes recordings in a mode that is chosen for each of them.

    Args:
        opened: A model in the mode for which it was trained.
    """

    def __init__(self, opened: Speech2Text):
        self.network = opened.decoder.model
        self.modes = trained_modes(self.network)
        self._opened = {
            mode: Speech2Text(Decoder(self.network, mode), batch_size=1) for mode in self.modes
        }  # segments one by one, so that progress can be shown

    def __call__(self, waveform: np.ndarray, mode: str, progress: Callable[[float], object]) -> list[Talker]:
        """Transcribes a recording. Calls must not overlap: the modes share the network.

        Args:
            waveform: (T,) float32, 16 kHz.
            mode: One of `modes`.
            progress: Called with the seconds of audio of every segment that is done.

        Returns:
            The talkers, segment by segment.
        """
        self.network.use(mode)
        return self._opened[mode].batch([waveform], progress=progress)[0]
