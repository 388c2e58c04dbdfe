"""Transcription of many recordings in batches; bad ones are left out, and an interrupted run goes on."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from espnet2_sop.decoding.audio import read_recording
from espnet2_sop.decoding.hypotheses import append_rows, read_partial
from espnet2_sop.decoding.transcribe.formats import Transcript, is_row, of_row, to_row
from espnet2_sop.io.errors import UserError, printable
from espnet2_sop.io.provenance import END, fingerprint
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import open_audio
from espnet2_sop.mixture.batching import sorted_batches
from espnet2_sop.mixture.kaldi_audio import Command, file_of

if TYPE_CHECKING:  # torch takes seconds to import, and nothing may be left to transcribe
    from espnet2_sop.decoding.speech2text import Speech2Text


class Transcriber:
    """Transcribes recordings; those that cannot be read or recognised are left out.

    Args:
        open_model: Called only if something is left to transcribe.
        recordings: {id: audio file, `FILE.ark:OFFSET` or `Command`}.
        channel: As in `Speech2Text.__call__`.
        partial: File of finished transcripts, which the next call reads; None writes none.
        start: Called before the first transcript is written, to empty the folder; `partial` is not read then.

    Attributes:
        bad: {id: reason} of recordings without a transcript.
    """

    def __init__(
        self,
        open_model: Callable[[], "Speech2Text"],
        recordings: Mapping[str, str],
        channel: int | None = None,
        partial: Path | None = None,
        start: Callable[[], object] | None = None,
    ):
        self.open_model = open_model
        self.recordings = recordings
        self.channel = channel
        self.partial = partial
        self.start = start
        self.bad: dict[str, str] = {}
        self._done: dict[str, Transcript] = {}

    def __call__(self) -> list[Transcript]:
        """The transcripts of all recordings that are not bad, in their order."""
        prints = self._each(self.recordings, lambda name: contents(self.recordings[name]))
        for name, row in read_partial(self.partial, is_row) if self.partial and not self.start else ():
            if name in prints and row["file"] == prints[name]:
                self._done[name] = of_row({**row, "path": printable(self.recordings[name])})
        seconds = self._each([name for name in prints if name not in self._done], self._seconds)
        if seconds:
            model = self.open_model()
            with tqdm(total=sum(seconds.values()), desc="transcribe", unit="s", unit_scale=True, mininterval=1) as bar:
                lengths = {n: int(s * SAMPLE_RATE) for n, s in sorted(seconds.items(), key=lambda pair: pair[1])}
                for batch in sorted_batches(lengths, int(model.batch_seconds * SAMPLE_RATE), model.batch_size):
                    self._recognise(model, batch, bar)
                    for name in batch:
                        self._keep(name, prints[name])
        return [self._done[name] for name in self.recordings if name in self._done]

    def _recognise(self, model: "Speech2Text", names: list[str], bar) -> None:
        """Transcribes a batch; recordings one by one if they cannot be recognised together."""
        waves = self._each(names, lambda name: read_recording(self.recordings[name], self.channel))
        left = sum(map(len, waves.values())) / SAMPLE_RATE

        def progress(seconds: float) -> None:
            nonlocal left
            left -= seconds
            bar.update(max(min(seconds, bar.total - bar.n), 0))  # a header may say less than there is

        results = None
        try:
            results = model.batch(list(waves.values()), progress=progress)
        except UserError as error:
            if len(waves) == 1:
                self.bad |= {name: f"{self.recordings[name]}: {error}" for name in waves}
                return
        if results is None:  # not within `except`: the error keeps what was computed in memory
            for name in waves:
                self._recognise(model, [name], bar)
            return
        for (name, wave), talkers in zip(waves.items(), results, strict=True):
            seconds = round(len(wave) / SAMPLE_RATE, 3)
            self._done[name] = Transcript(name, printable(self.recordings[name]), seconds, talkers)
        progress(left)  # silence

    def _keep(self, name: str, file: str) -> None:
        if self.partial and name in self._done:
            if self.start:
                self.start()
                self.start = None
            with append_rows(self.partial) as append:
                append({**to_row(self._done[name]), "file": file})

    def _seconds(self, name: str) -> float:
        with open_audio(self.recordings[name]) as audio:
            return audio.frames / audio.samplerate

    def _each[T](self, names, function: Callable[[str], T]) -> dict[str, T]:
        """{id: function of it}; recordings that cannot be read are noted as bad."""
        values = {}
        for name in names:
            try:
                values[name] = function(name)
            except UserError as error:
                self.bad[name] = str(error)
        return values


def contents(path: str) -> str:
    """A text that changes with the contents of a recording.

    Of a file it is the fingerprint, with the time of the last change if the fingerprint leaves out the middle of the
    file. Of an entry of an archive it is that of the archive and the place in it, of a command its text.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    if isinstance(path, Command):
        return path
    if (file := file_of(path)) != path:
        return f"{contents(file)}, at {path.removeprefix(file)}"
    found, about = fingerprint(path), os.stat(path)
    return f"{found}, modified {about.st_mtime_ns}" if about.st_size > 2 * END else found
