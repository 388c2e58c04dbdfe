"""Decoding of data directories with a trained model."""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from espnet2_sop.decoding.exchange import Prompt, choose, lend
from espnet2_sop.decoding.generate import generate
from espnet2_sop.decoding.hypotheses import (
    Hypothesis,
    TalkerText,
    append_rows,
    is_row,
    mean_probability,
    read_partial,
    write_hypotheses,
)
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.io.provenance import PARTIAL
from espnet2_sop.io.registry import require_imported
from espnet2_sop.mixture.batching import sorted_batches
from espnet2_sop.mixture.loader import MixtureStore, open_store
from espnet2_sop.model.build import build_model
from espnet2_sop.model.checkpoint import load_checkpoint
from espnet2_sop.model.ctc.serialized import TalkerTokens, timed_words
from espnet2_sop.model.front_end import EncodedSpeech
from espnet2_sop.model.llm.prompt import OTHER
from espnet2_sop.model.sop_model import SOPModel
from espnet2_sop.packaging.locate import read_config
from espnet2_sop.text.llm_tokenizer import join
from espnet2_sop.text.serialized import serialize

BAD_AUDIO = "bad_audio.tsv"
TOKENS_PER_SECOND = 12  # room for the output; fast speech of three talkers stays far below it


def load_run(run: str | Path, checkpoint: str = "valid.acc.ave.pth", device: str = "cpu") -> SOPModel:
    """Builds the model of a training run and loads its weights.

    Args:
        run: Output folder of `espnet2-sop train` or `espnet2-sop pack`.
        checkpoint: File in it.
        device: `cpu`, `cuda`, ...

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: The run or the checkpoint is missing, broken or of another model.
    """
    packed = checkpoint.endswith(".safetensors")
    config = read_config(Path(run), packed)
    if packed:
        require_imported(config)
    model = build_model(argparse.Namespace(**config))
    load_checkpoint(Path(run) / checkpoint, model)
    return model.to(device).eval()


class Decoder:
    """Writes the talkers' words of batches of mixtures.

    Args:
        model: A trained SOPModel in evaluation mode.
        mode: `ctc` (heads alone), `sot` (LLM without prompt) or `sop`.
        num_beams: 1 is greedy.
        draft: Whether greedy decoding verifies a draft, which saves passes of the LLM and changes no output: the
            serialized output prompt, or in mode `sot` the output of the heads if they were trained with it.
        no_repeat_ngram: So many tokens in a row are not written twice by the LLM; 0 forbids nothing.
    """

    def __init__(self, model: SOPModel, mode: str, num_beams: int = 1, draft: bool = True, no_repeat_ngram: int = 0):
        self.model = model
        self.mode = mode
        self.num_beams = num_beams
        self.no_repeat_ngram = no_repeat_ngram
        self.draft = draft and num_beams == 1 and (mode == "sop" or "ctc" in trained_modes(model))
        model.use(mode)
        if mode != "ctc":
            model.llm.merge()

    @property
    def reads_other(self) -> bool:
        """Whether every mixture reads the prompt of another one."""
        return self.model.sop_source == OTHER

    @torch.inference_mode()
    def prompts(self, waveforms: list[np.ndarray]) -> list[Prompt]:
        """The prompts that the heads write for waveforms (T_i,) float32, 16 kHz."""
        model = self.model
        slots = model.front_end.slots(model.front_end.encode(*self._batch(waveforms), for_llm=False))
        texts = (serialize([model.vocabulary.decode(slot.tokens) for slot in row]) for row in slots)
        return [Prompt(*row) for row in zip(model.sop(slots), texts, strict=True)]

    def _batch(self, waveforms: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded waveforms (B, T) and their lengths (B,)."""
        device = next(self.model.projector.parameters()).device
        lengths = torch.tensor([len(w) for w in waveforms], device=device)
        rows = [torch.from_numpy(w) for w in waveforms]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device), lengths

    @torch.inference_mode()
    def __call__(
        self, waveforms: list[np.ndarray], references: list[str] | None = None, lent: list[Prompt] | None = None
    ) -> list[Hypothesis]:
        """Decodes waveforms (T_i,) float32, 16 kHz; the result of one does not depend on the others.

        Args:
            waveforms: Mixtures.
            references: Their serialized texts, read only where the reference is the prompt.
            lent: Prompts of other mixtures, read only where the prompt is that of another one.

        Returns:
            One hypothesis for each waveform.
        """
        model = self.model
        speech, lengths = self._batch(waveforms)
        source = "ctc" if self.mode == "ctc" else model.sop_source
        reads_slots = source == "ctc" or (source == "none" and self.draft and self.mode == "sot")
        encoded = model.front_end.encode(speech, lengths, for_llm=self.mode != "ctc", for_separator=reads_slots)
        if source == "none":
            drafts = self._drafts(model.front_end.slots(encoded)) if reads_slots else None
            return [Hypothesis(text, **rest) for text, rest in self._write(encoded, None, drafts, lengths)]
        if source == OTHER:
            written = self._write(encoded, [prompt.ids for prompt in lent], None, lengths)
            return [Hypothesis(text, prompt.text, **rest) for (text, rest), prompt in zip(written, lent, strict=True)]
        if source == "reference":
            prompts = [text.lower() for text in references]
            targets = [model.tokenizer.encode_serialized(text) for text in prompts]
            written = self._write(encoded, model.reference_sop(targets), targets if self.draft else None, lengths)
            return [Hypothesis(text, prompt, **rest) for (text, rest), prompt in zip(written, prompts, strict=True)]
        slots = model.front_end.slots(encoded)
        texts = [[self._of_slot(slot) for slot in row] for row in slots]
        prompts = [serialize([slot.text for slot in row]) for row in texts]
        words = [timed_words(row, model.vocabulary, model.ctc_frame_seconds) for row in slots]
        onsets = [tuple(next(talker).start for _, talker in groupby(row, lambda w: w.talker)) for row in words]
        of_prompt = list(zip(prompts, onsets, words, strict=True))
        if self.mode == "ctc":
            heard = [tuple(slot for slot in row if slot.text) for row in texts]
            return [Hypothesis(row[0], *row, talkers) for row, talkers in zip(of_prompt, heard, strict=True)]
        written = self._write(encoded, model.sop(slots), self._drafts(slots) if self.draft else None, lengths)
        return [Hypothesis(text, *row, **rest) for (text, rest), row in zip(written, of_prompt, strict=True)]

    def _of_slot(self, slot: TalkerTokens) -> TalkerText:
        """The text that the heads wrote for one talker slot."""
        vocabulary = self.model.vocabulary
        text, pieces = vocabulary.decode(slot.tokens), vocabulary.pieces(slot.tokens)
        return TalkerText(text, tuple(pieces), mean_probability(map(math.log, slot.confidences)))

    def _of_llm(self, ids: list[int], log_probs: list[float]) -> Iterator[TalkerText]:
        """The text that the LLM wrote for each talker; talkers without words are left out."""
        tokenizer, start = self.model.tokenizer, 0
        for part in tokenizer.split(ids):
            values = log_probs[start : start + len(part)]
            start += len(part) + 1  # and <sc>
            if text := tokenizer.decode(part):
                yield TalkerText(text, tuple(tokenizer.pieces(part)), mean_probability(values))

    def _drafts(self, slots: list[list[TalkerTokens]]) -> list[list[int]]:
        """CTC output -> the ids that the LLM would write if it agreed: always with `<sc>`, never with marks."""
        model = self.model
        return [join([model.llm_ids(slot.tokens) for slot in row], model.tokenizer.sc_id) for row in slots]

    def _write(
        self, encoded: EncodedSpeech, sop: list[list[int]] | None, drafts: list[list[int]] | None, lengths: torch.Tensor
    ) -> list[tuple[str, dict]]:
        """Runs the LLM on projected speech, with or without prompts and drafts.

        Returns:
            For each mixture its text and further arguments of `Hypothesis`.
        """
        model = self.model
        inputs = model.llm_input(encoded, sop)
        room = [8 + int(n / 16000 * TOKENS_PER_SECOND) for n in lengths.tolist()]
        eos = model.tokenizer.eos_id
        outputs = generate(model.llm, inputs, eos, room, self.num_beams, drafts, self.no_repeat_ngram)
        return [
            (
                model.tokenizer.decode_serialized(ids),
                {"talkers": tuple(self._of_llm(ids, probs)), "statistics": statistics},
            )
            for ids, probs, statistics in zip(*outputs, strict=True)
        ]


def decode_set(
    decoder: Decoder,
    data: str | Path,
    out: str | Path,
    batch_seconds: float,
    batch_size: int,
    skip_bad_audio: bool = False,
    mixtures: int | None = None,
) -> None:
    """Decodes the mixtures of one data directory into `out`: the files of `write_hypotheses`.

    Finished batches are kept in `out/.partial.jsonl`, so that an interrupted run goes on where it was.

    Args:
        decoder: Decodes batches.
        data: Data directory with mixtures.jsonl.
        out: Folder to make.
        batch_seconds: Most seconds of audio in a batch, padding included.
        batch_size: Most mixtures in a batch.
        skip_bad_audio: Mixtures whose audio cannot be read get no hypothesis and are listed in `out/bad_audio.tsv`.
        mixtures: Most mixtures, chosen by `choose`; None for all.

    Raises:
        UserError: Audio cannot be read, or there is no other mixture whose prompt could be read.
    """
    store = open_store(Path(data) / "mixtures.jsonl")
    store.skip_bad_audio = skip_bad_audio
    store.bad.clear()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / PARTIAL
    done = dict(read_partial(partial, is_row))
    chosen = choose(store.mixtures, mixtures)
    lengths = {name: n for name, n in sorted(store.lengths().items(), key=lambda kv: kv[1]) if name in chosen}
    limits = int(batch_seconds * 16000), batch_size
    lent = {}
    if isinstance(decoder, Decoder) and decoder.reads_other:
        own = {}
        for waves in batches_of_audio(store, lengths, *limits):
            own |= zip(waves, decoder.prompts([*waves.values()]), strict=True)
        lent = lend(own, {name: len(store.mixtures[name].sources) for name in own}, data)
    lengths = {name: n for name, n in lengths.items() if name not in done}
    bar = tqdm(total=len(lengths) + len(done), initial=len(done), desc=out.name, unit="mix", mininterval=2)
    with bar, append_rows(partial) as append:
        for waves in batches_of_audio(store, lengths, *limits):
            start = time.perf_counter()
            given = [[store.mixtures[name].text for name in waves]]
            if lent:
                given.append([lent[name] for name in waves])
            hypotheses = decoder(list(waves.values()), *given)
            spent = (time.perf_counter() - start) / len(waves)
            for (name, wave), hyp in zip(waves.items(), hypotheses, strict=True):
                row = {"id": name, "text": hyp.text, "prompt": hyp.prompt, "onsets": hyp.onsets, "words": hyp.words,
                       "seconds": spent, "audio": len(wave) / 16000,
                       "effort": asdict(hyp.statistics) if hyp.statistics else None}  # fmt: skip
                done[name] = row
                append(row)
            bar.update(len(waves))
        bar.update(bar.total - bar.n)  # mixtures without audio
    if not done:
        raise UserError(f"{data}: no mixture has audio that can be read; {list(store.bad.values())[0]}")
    report_bad_audio(out, store.bad)
    write_hypotheses(out, [done[name] for name in sorted(chosen) if name not in store.bad])
    partial.unlink()


def batches_of_audio(
    store: MixtureStore, lengths: dict[str, int], samples: int, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Reads mixtures batch by batch.

    Args:
        store: Reads their audio; what it cannot read is left out if it skips bad audio.
        lengths: {mixture id: samples}, in order of length.
        samples: Most samples in a batch, padding included.
        size: Most mixtures in a batch.

    Yields:
        {mixture id: waveform (T,) float32, 16 kHz}, never empty.
    """
    for batch in sorted_batches(lengths, samples, size):
        waves = {name: store.waveform(name) for name in batch}
        if waves := {name: wave for name, wave in waves.items() if name not in store.bad}:
            yield waves


def report_bad_audio(out: Path, bad: dict[str, str]) -> None:
    """Lists the mixtures without a hypothesis in `bad_audio.tsv` and prints a warning; an earlier list is removed.

    Args:
        out: Folder of the hypotheses.
        bad: {mixture id: why its audio cannot be read}.
    """
    listed = out / BAD_AUDIO
    listed.unlink(missing_ok=True)
    if bad:
        with atomic_write(listed) as f:
            f.writelines(f"{name}\t{why}\n" for name, why in sorted(bad.items()))
        told = f"{len(bad)} mixtures have no hypothesis, their audio cannot be read; see {listed}"
        print(f"espnet2-sop decode: warning: {out}: {told}", file=sys.stderr)


def require_named_oracle(model: SOPModel, mode: str, out: Path) -> None:
    """Refuses a folder whose name does not tell that the prompt is the reference text.

    Args:
        model: The model, its source of the prompt chosen.
        mode: Mode of decoding.
        out: Folder of the system.

    Raises:
        UserError: The prompt is the reference, and the name has neither `reference` nor `oracle`.
    """
    if (
        mode == "sop"
        and model.prompt.sop_source == "reference"
        and not {"reference", "oracle"} & {*out.name.split("_")}
    ):
        raise UserError(
            f"--out {out}: the prompt is the reference text, so this is an oracle; name the system so, "
            f"e.g. {out.name}_reference"
        )


def trained_modes(model: SOPModel) -> list[str]:
    """Modes that a model was trained for, before `use` has chosen one."""
    modes = {"joint": ["sop"], "align": []}.get(model.objective, [model.objective])
    if "ctc" not in modes and (model.ctc_weight or model.objective == "sop"):
        modes.append("ctc")
    return modes


def require_mode(model: SOPModel, mode: str) -> None:
    """Refuses a mode that a model was not trained for.

    Args:
        model: The model, before `use` has chosen a mode.
        mode: `ctc`, `sot` or `sop`.

    Raises:
        UserError: The model was not trained for the mode.
    """
    trained = trained_modes(model)
    if mode not in trained:
        raise UserError(f"--mode {mode}: this run was trained for {model.objective}; use {' or '.join(trained)}")
