"""Recognition of recordings with a trained model: `Speech2Text`, as in ESPnet's inference classes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from espnet2_sop.decoding.audio import from_waveform, read_recording
from espnet2_sop.decoding.decoder import Decoder, load_run, require_mode, trained_modes
from espnet2_sop.decoding.hypotheses import Hypothesis
from espnet2_sop.decoding.segmentation import check_limits, segments
from espnet2_sop.decoding.talker import Talker, talkers_of
from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.io.out_of_memory import within_memory
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.batching import check_batch_limits, sorted_batches
from espnet2_sop.packaging.locate import find_weights

DTYPES = ("float32", "bfloat16", "float16")

__all__ = ["Speech2Text", "Talker"]


class Speech2Text:
    """Writes what every talker of a recording says.

        speech2text = Speech2Text.from_pretrained("exp/packed/sop.zip")
        for talker in speech2text("meeting.wav"):
            print(talker.onset, talker.text)

    Args:
        decoder: Of a trained model.
        max_seconds: A longer recording is cut at pauses into segments of at most this length
            (`segmentation.segments`).
        pause_seconds: Shortest pause at which it is cut.
        batch_size: Most segments in a batch.
        batch_seconds: Most seconds of audio in a batch, padding included.

    Raises:
        UserError: A limit is too small.
    """

    def __init__(
        self,
        decoder: Decoder,
        max_seconds: float = 30.0,
        pause_seconds: float = 0.8,
        batch_size: int = 32,
        batch_seconds: float = 160.0,
    ):
        check_limits(max_seconds, pause_seconds)
        check_batch_limits(batch_size, batch_seconds)
        self.decoder = decoder
        self.max_seconds = max_seconds
        self.pause_seconds = pause_seconds
        self.batch_size = batch_size
        self.batch_seconds = batch_seconds

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        revision: str | None = None,
        checkpoint: str | None = None,
        mode: str | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        num_beams: int = 1,
        no_repeat_ngram: int = 0,
        **limits,
    ) -> "Speech2Text":
        """Opens a trained model.

        Args:
            model: Run folder of `espnet2-sop train`, folder or zip of `espnet2-sop pack`, or a Hugging Face id.
            revision: Branch, tag or commit of the Hugging Face repository.
            checkpoint: File in the folder; None is that of the package, or the averaged one of a run.
            mode: `ctc` (heads alone), `sot` (LLM) or `sop` (LLM with prompt); None is what the model was trained for.
            device: `cpu`, `cuda`, `cuda:1`, ...
            dtype: Of the LLM's frozen weights: `float32`, `bfloat16` or `float16`; None is that of the training.
                Everything else computes in float32.
            num_beams: 1 is greedy.
            no_repeat_ngram: The LLM writes no n-gram of this length twice, which ends loops; 0 forbids nothing.
            **limits: `max_seconds`, `pause_seconds`, `batch_size`, `batch_seconds`.

        Returns:
            The recogniser.

        Raises:
            UserError: There is no such model, checkpoint or device, or the model was not trained for the mode.
        """
        if dtype is not None:
            require_choice("dtype", dtype, DTYPES)
        if not num_beams >= 1:
            raise UserError(f"num_beams: {num_beams}; 1 is greedy, more is beam search")
        if not no_repeat_ngram >= 0:
            raise UserError(f"no_repeat_ngram: {no_repeat_ngram}; must be 0 or more")
        device = usable_device(device)
        weights = find_weights(model, revision, checkpoint)
        network = load_run(weights.parent, weights.name)
        if dtype:
            network.llm.base_dtype = getattr(torch, dtype)  # of the frozen weights, in every later `to`
        network = network.to(device)
        mode = mode or trained_modes(network)[0]
        require_mode(network, mode)
        if mode == "sop" and network.prompt.sop_source == "reference":
            raise UserError(f"{model}: was trained with the reference as its prompt, which no new recording has")
        return cls(Decoder(network, mode, num_beams, no_repeat_ngram=no_repeat_ngram), **limits)

    def __call__(self, speech, sample_rate: int | None = None, channel: int | None = None):
        """Recognises a recording, or a list of them (`batch`).

        Args:
            speech: Path of an audio file, or a waveform: NumPy array or torch tensor (T,), or with a second, shorter
                axis of channels.
            sample_rate: Samples per second of a waveform, 16000 if not given; a file says its own.
            channel: Index of the channel to take, from 0; None is the mean of all.

        Returns:
            The talkers in order of speaking start; those of a recording that was cut segment by segment. No talkers if
            it is silent.

        Raises:
            UserError: The recording cannot be read, is shorter than 0.1 s, or does not fit into the LLM's context or
                the memory.
        """
        several = isinstance(speech, list | tuple)
        results = self.batch(speech if several else [speech], sample_rate, channel)
        return results if several else results[0]

    def batch(
        self,
        speech: Sequence,
        sample_rate: int | None = None,
        channel: int | None = None,
        progress: Callable[[float], object] | None = None,
    ) -> list[list[Talker]]:
        """Recognises several recordings in batches; the result of one does not depend on the others.

        Args:
            speech: Each as in `__call__`.
            sample_rate, channel: Likewise, of all.
            progress: Called with the seconds of audio of every batch that is done.

        Returns:
            The talkers of each recording.
        """
        waves = [read(item, sample_rate, channel, f"speech[{i}]") for i, item in enumerate(speech)]
        parts = [
            (i, start, stop)
            for i, wave in enumerate(waves)
            for start, stop in segments(wave, self.max_seconds, self.pause_seconds)
        ]
        hypotheses = self._decode([waves[i][start:stop] for i, start, stop in parts], progress)
        talkers: list[list[Talker]] = [[] for _ in waves]
        for (i, start, stop), hypothesis in zip(parts, hypotheses, strict=True):
            talkers[i] += talkers_of(hypothesis, round(start / SAMPLE_RATE, 3), round(stop / SAMPLE_RATE, 3))
        return talkers

    def _decode(self, pieces: list[np.ndarray], progress: Callable[[float], object] | None) -> list[Hypothesis]:
        """Decodes pieces (T_i,) in batches of similar length; hypotheses in the order of the pieces."""
        lengths = dict(sorted(enumerate(map(len, pieces)), key=lambda pair: pair[1]))
        done: dict[int, Hypothesis] = {}
        for batch in sorted_batches(lengths, int(self.batch_seconds * SAMPLE_RATE), self.batch_size):
            with within_memory("batch_size", "batch_seconds", "max_seconds"):
                done |= zip(batch, self.decoder([pieces[i] for i in batch]), strict=True)
            if progress:
                progress(sum(lengths[i] for i in batch) / SAMPLE_RATE)
        return [done[i] for i in range(len(pieces))]


def read(speech, sample_rate: int | None, channel: int | None, name: str) -> np.ndarray:
    """Reads a file, or converts a waveform.

    Args:
        speech: Path, or waveform as in `Speech2Text.__call__`.
        sample_rate: Samples per second of a waveform; None for a file.
        channel: Index of the channel, from 0; None is the mean of all.
        name: What messages call a waveform.

    Returns:
        (T,) float32, 16 kHz.

    Raises:
        UserError: The recording cannot be used, or a sample rate is given for a file.
    """
    if not isinstance(speech, str | Path):
        return from_waveform(speech, sample_rate, channel, name)
    if sample_rate is not None:
        raise UserError(f"{speech}: the file says its own sample rate; leave sample_rate out")
    return read_recording(speech, channel)


def usable_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        UserError: Torch knows no such device, or has none here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device: {name!r} cannot be used here ({str(error).splitlines()[0]})") from None
    return device
