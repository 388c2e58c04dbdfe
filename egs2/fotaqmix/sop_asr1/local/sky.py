#!/usr/bin/env python3
"""sky.py GAME OUT: voices of Beneath a Steel Sky, a freeware adventure game of 1994, as training data.

GAME has the game's files (Debian's package beneath-a-steel-sky: /usr/share/scummvm/beneath-a-steel-sky). OUT becomes a
folder in the layout of LibriSpeech. The words are what Whisper hears and the speakers are groups of similar voices:
good enough to learn from, not to test with. Needs the program of Debian's package `ancient`, and Resemblyzer of PyPI.
"""

import argparse
import importlib.util
import itertools
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from tqdm import tqdm
from transformers import WhisperForConditionalGeneration, WhisperProcessor

GAME_RATE, RATE = 11025, 16000
SPEECH = range(50000, 60000)  # numbers of the files with speech
HEADER = 22  # bytes before the samples of a file
SHORTEST = 2.0  # seconds
GAP, WINDOW = 1.0, 30.0  # seconds: silence between the utterances that Whisper hears at once, and what it hears
LEVEL = 0.05  # RMS
SIMILAR = 0.25  # cosine distance, up to which groups of voices are one speaker
FEWEST = 10  # utterances of a speaker
SLOWEST, FASTEST = 1.0, 5.5  # words a second


def packed_files(game: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each file with speech; the table sky.dnr tells where in sky.dsk it is."""
    table, disk = (game / "sky.dnr").read_bytes(), (game / "sky.dsk").read_bytes()
    for at in range(4, len(table) - 7, 8):
        number, place, size = (int.from_bytes(table[at + a : at + b], "little") for a, b in ((0, 2), (2, 5), (5, 8)))
        start, size = place & 0x7FFFFF, size & 0x3FFFFF
        if place >> 23:
            start *= 16  # counted in paragraphs
        if number in SPEECH:
            yield number, disk[start : start + size]


def unpack(file: bytes) -> np.ndarray:
    """Samples (T,) float32 of a file with speech, 16 kHz."""
    raw = file[HEADER:]
    if raw.startswith(b"RNC"):
        with tempfile.TemporaryDirectory() as folder:
            packed, unpacked = Path(folder, "packed"), Path(folder, "unpacked")
            packed.write_bytes(raw)
            subprocess.run(["ancient", "decompress", packed, unpacked], check=True, capture_output=True)
            raw = unpacked.read_bytes()
    wave = np.frombuffer(raw, np.uint8).astype(np.float32) / 128 - 1
    wave = soxr.resample(wave - wave.mean(), GAME_RATE, RATE)
    return wave * (LEVEL / max(np.sqrt(np.mean(wave**2)), 1e-6))


def windows(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of the utterances of each window, in order."""
    window, end = [], 0
    for index, length in enumerate(lengths):
        if window and end + length + GAP * RATE > WINDOW * RATE:
            yield window
            window, end = [], 0
        window.append(index)
        end += length + int(GAP * RATE)
    if window:
        yield window


def words(text: str) -> str:
    """Upper-case words and apostrophes; empty if there is a digit or a sign that is spoken."""
    return "" if re.search(r"[^\w\s.,;:!?'\"-]|[\d_]", text) else " ".join(re.findall("[A-Z']+", text.upper()))


class Listener:
    """Hears several utterances at once and tells them apart by Whisper's timestamps."""

    def __init__(self, model: str):
        self.processor = WhisperProcessor.from_pretrained(model)
        self.model = WhisperForConditionalGeneration.from_pretrained(model).eval()
        language = {"language": "en", "task": "transcribe"} if self.model.generation_config.is_multilingual else {}
        self.options = {"return_timestamps": True, "max_new_tokens": 200, **language}

    @torch.inference_mode()
    def hear(self, batch: list[list[np.ndarray]]) -> list[list[str]]:
        """Texts of windows of utterances; "" where a segment of Whisper's is not within one utterance."""
        gap = np.zeros(int(GAP * RATE), np.float32)
        waves = [np.concatenate([part for wave in window for part in (wave, gap)]) for window in batch]
        mel = self.processor(waves, sampling_rate=RATE, return_tensors="pt").input_features
        found = self.model.generate(mel, **self.options)
        return [self._texts(window, tokens) for window, tokens in zip(batch, found, strict=True)]

    def _texts(self, window: list[np.ndarray], tokens: torch.Tensor) -> list[str]:
        ends = np.cumsum([len(wave) / RATE + GAP for wave in window]) - GAP
        starts = ends - [len(wave) / RATE for wave in window]
        texts, mixed = [""] * len(window), set()
        for segment in self.processor.tokenizer.decode(tokens, output_offsets=True)["offsets"]:
            start, end = segment["timestamp"]
            end = start + 1 if end is None else end
            shared = np.minimum(ends, end) - np.maximum(starts, start)
            within = np.flatnonzero(shared > 0.35 * np.minimum(ends - starts, end - start))
            if len(within) == 1:
                texts[within[0]] += f" {segment['text']}"
            mixed.update(within.tolist() if len(within) > 1 else ())
        return ["" if index in mixed else words(text) for index, text in enumerate(texts)]


def _listen(batch: list[list[np.ndarray]]) -> list[list[str]]:
    return _listener.hear(batch)


def _start(model: str) -> None:
    global _listener
    torch.set_num_threads(1)
    _listener = Listener(model)


def hear(waves: dict[int, np.ndarray], model: str, nj: int, table: Path) -> list[str]:
    """The words of each utterance. Utterances that are in the table already are not heard again.

    Args:
        waves: samples (T,) float, 16 kHz, by number.
        model: Hugging Face id or folder of a Whisper.
        nj: processes side by side.
        table: file that keeps numbers and words.

    Returns:
        Words of each utterance, in the order of `waves`; "" where they are not certain.
    """
    table.touch()
    whole = table.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    os.truncate(table, len(whole))  # a line that was cut off
    lines = whole.decode().splitlines()
    known = {int(number): text for number, _, text in (line.partition("\t") for line in lines)}
    numbers = [number for number in waves if number not in known]
    found = [[numbers[i] for i in window] for window in windows([len(waves[number]) for number in numbers])]
    batches = [list(batch) for batch in itertools.batched(found, 8)]
    with multiprocessing.get_context("spawn").Pool(nj, _start, (model,)) as pool, table.open("a") as f:
        jobs = ([[waves[number] for number in window] for window in batch] for batch in batches)
        heard = tqdm(pool.imap(_listen, jobs), desc="words", unit="batch", total=len(batches))
        for batch, texts in zip(batches, heard, strict=True):
            new = dict(zip(itertools.chain(*batch), itertools.chain(*texts), strict=True))
            f.writelines(f"{number}\t{text}\n" for number, text in new.items())
            f.flush()
            known |= new
    return [known[number] for number in waves]


def believable(texts: Sequence[str], waves: Sequence[np.ndarray]) -> list[bool]:
    """Which texts are speech. Of noise, Whisper writes the same text, repetitions, or too many or too few words.

    Args:
        texts: words of each utterance.
        waves: samples (T,) float, 16 kHz, of each utterance.

    Returns:
        True for each text that is unique, without a repeated group of three words and of a natural rate.
    """
    counts, believed = Counter(texts), []
    for text, wave in zip(texts, waves, strict=True):
        said = text.split()
        threes = list(zip(said, said[1:], said[2:], strict=False))
        rate = len(said) / (len(wave) / RATE)
        believed.append(counts[text] == 1 and len(set(threes)) == len(threes) and SLOWEST <= rate <= FASTEST)
    return believed


def group(waves: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) int: the speaker of each utterance, by average linkage of speaker embeddings."""
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder("cpu", verbose=False)
    embeddings = [encoder.embed_utterance(preprocess_wav(wave, RATE)) for wave in tqdm(waves, desc="speakers")]
    return fcluster(linkage(np.stack(embeddings), "average", "cosine"), SIMILAR, "distance")


def write(folder: Path, heard: dict[int, tuple[np.ndarray, str]], speakers: np.ndarray) -> str:
    """Writes the speakers that have enough utterances.

    Args:
        folder: of the corpus.
        heard: samples (T,) and words by number.
        speakers: (N,) int, the speaker of each utterance.

    Returns:
        How many utterances and speakers, as a line.
    """
    counts = np.bincount(speakers)
    kept = np.flatnonzero(counts >= FEWEST)
    for speaker in kept:
        name = f"sky{speaker:03d}"
        chapter = folder / name / "sky"
        chapter.mkdir(parents=True, exist_ok=True)
        own = [number for number, other in zip(heard, speakers, strict=True) if other == speaker]
        for number in own:
            soundfile.write(chapter / f"{name}-sky-{number}.flac", np.clip(heard[number][0], -1, 1), RATE)
        texts = "".join(f"{name}-sky-{number} {heard[number][1]}\n" for number in own)
        (chapter / f"{name}-sky.trans.txt").write_text(texts, "utf-8")
    return f"{counts[kept].sum()} utterances of {len(kept)} speakers"


def require(game: Path, out: Path) -> None:
    """Ends the program with one line if something is missing, before the long work.

    Args:
        game: folder of the game.
        out: folder to make.
    """
    if not all((game / name).is_file() for name in ("sky.dnr", "sky.dsk")):
        sys.exit(f"sky.py: error: {game}: no sky.dnr and sky.dsk here; install the package beneath-a-steel-sky")
    if shutil.which("ancient") is None:
        sys.exit("sky.py: error: the program ancient is missing; install the package of that name")
    if importlib.util.find_spec("resemblyzer") is None:
        sys.exit("sky.py: error: Resemblyzer is missing: pip install resemblyzer")
    if out.exists():
        sys.exit(f"sky.py: error: {out}: is there already; remove it or give a new folder")


def main() -> None:
    """Writes the folder; an interrupted run goes on where it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="openai/whisper-base", help="Whisper, id or folder [%(default)s]")
    parser.add_argument("--nj", type=int, default=2, help="processes [%(default)s]")
    args = parser.parse_args()
    require(args.game, args.out)
    part = args.out.with_name(f".{args.out.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    unpacked = {n: unpack(file) for n, file in tqdm(sorted(packed_files(args.game)), desc="samples")}
    waves = {n: wave for n, wave in unpacked.items() if len(wave) >= SHORTEST * RATE}
    texts = hear(waves, args.model, args.nj, part / "words.tsv")
    believed = believable(texts, list(waves.values()))
    said = zip(waves.items(), texts, believed, strict=True)
    heard = {number: (wave, text) for (number, wave), text, good in said if good}
    written = write(part, heard, group([wave for wave, _ in heard.values()]))
    part.replace(args.out)
    print(f"{args.out}: {written}")


if __name__ == "__main__":
    main()
