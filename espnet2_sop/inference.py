"""Decoding of data directories with a trained model."""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from espnet2_sop.assembly import build_model, load_checkpoint
from espnet2_sop.ctc.serialized import TalkerTokens, timed_words
from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_write, is_name, read_yaml, write_kaldi
from espnet2_sop.jsons import misfit, parse_json
from espnet2_sop.llm.decode import Effort, generate
from espnet2_sop.llm.tokenizer import join
from espnet2_sop.mixture.loader import open_store
from espnet2_sop.model import SOPModel
from espnet2_sop.origin import PARTIAL
from espnet2_sop.text.ctm import TimedWord, write_ctm
from espnet2_sop.text.serialized import serialize, split_talkers

TOKENS_PER_SECOND = 12  # room for the output; fast speech of three talkers stays far below it
ROW = {  # of PARTIAL
    **dict.fromkeys(("id", "text", "prompt"), str),
    **{"onsets": [float], "words": [[int, float, float, str, float]], "seconds": float, "audio": float},
}
EFFORT = {name: int for name in Effort.__dataclass_fields__}


@dataclass(frozen=True)
class Hypothesis:
    """Output for one mixture.

    Attributes:
        text: Serialized text, talkers joined by ` <sc> `.
        prompt: The serialized output prompt in words, talkers likewise; empty without one.
        onsets: Start in seconds of each prompt talker, read off the CTC peaks; empty where CTC is not used.
        words: The words of the prompt with times, likewise.
        effort: What the LLM did for it, if it wrote greedily; depends on the batch.
    """

    text: str
    prompt: str = ""
    onsets: tuple[float, ...] = ()
    words: tuple[TimedWord, ...] = ()
    effort: Effort | None = field(default=None, compare=False)


def load_run(run: str | Path, checkpoint: str = "valid.acc.ave.pth", device: str = "cpu") -> SOPModel:
    """Builds the model of a training run and loads its weights.

    Args:
        run: Output folder of `espnet2-sop train`.
        checkpoint: File in it.
        device: `cpu`, `cuda`, ...

    Raises:
        UserError: The run or the checkpoint is missing, broken or of another model.
    """
    args = argparse.Namespace(**read_yaml(Path(run) / "config.yaml"))
    if (Path(run) / args.ctc_vocab).is_dir():  # a packed model carries it
        args.ctc_vocab = str(Path(run) / args.ctc_vocab)
    model = build_model(args)
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
    """

    def __init__(self, model: SOPModel, mode: str, num_beams: int = 1, draft: bool = True):
        self.model = model
        self.mode = mode
        self.num_beams = num_beams
        self.draft = draft and num_beams == 1 and (mode == "sop" or "ctc" in trained_modes(model))
        model.use(mode)

    @torch.inference_mode()
    def __call__(self, waveforms: list[np.ndarray], references: list[str] | None = None) -> list[Hypothesis]:
        """Decodes waveforms (T_i,) float32, 16 kHz; the result of one does not depend on the others.

        Args:
            waveforms: Mixtures.
            references: Their serialized texts, read only where the reference is the prompt.
        """
        model = self.model
        device = next(model.projector.parameters()).device
        lengths = torch.tensor([len(w) for w in waveforms], device=device)
        speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waveforms], batch_first=True).to(device)
        levels = model.encode(speech, lengths)
        source = model.prompt.sop_source if self.mode == "sop" else {"ctc": "ctc", "sot": "none"}[self.mode]
        if source == "none":
            drafts = self._drafts(model.talkers(levels)) if self.draft and self.mode == "sot" else None
            return [Hypothesis(text, effort=effort) for text, effort in self._write(levels, None, drafts, lengths)]
        if source == "reference":
            prompts = [text.lower() for text in references]
            targets = [model.tokenizer.encode_serialized(text) for text in prompts]
            written = self._write(levels, model.reference_sop(targets), targets if self.draft else None, lengths)
            return [
                Hypothesis(text, prompt, effort=effort) for (text, effort), prompt in zip(written, prompts, strict=True)
            ]
        talkers = model.talkers(levels)
        prompts = [serialize([model.vocabulary.decode(slot.tokens) for slot in row]) for row in talkers]
        words = [timed_words(row, model.vocabulary, model.ctc_frame_seconds) for row in talkers]
        onsets = [tuple(next(talker).start for _, talker in groupby(row, lambda w: w.talker)) for row in words]
        if self.mode == "ctc":
            return [Hypothesis(*values) for values in zip(prompts, prompts, onsets, words, strict=True)]
        written = self._write(levels, model.sop(talkers), self._drafts(talkers) if self.draft else None, lengths)
        return [
            Hypothesis(text, *of_prompt, effort)
            for (text, effort), *of_prompt in zip(written, prompts, onsets, words, strict=True)
        ]

    def _drafts(self, talkers: list[list[TalkerTokens]]) -> list[list[int]]:
        """CTC output -> the ids that the LLM would write if it agreed: always with `<sc>`, never with marks."""
        model = self.model
        return [join([model.llm_ids(slot.tokens) for slot in row], model.tokenizer.sc_id) for row in talkers]

    def _write(
        self, levels, sop: list[list[int]] | None, drafts: list[list[int]] | None, lengths: torch.Tensor
    ) -> list[tuple[str, Effort | None]]:
        """Runs the LLM on projected speech, with or without prompts and drafts: texts and what they took."""
        model = self.model
        frames, frame_lengths = levels[-1]
        inputs = model.prompt.build(model.llm, model.projector(frames), frame_lengths, sop)
        room = [8 + int(n / 16000 * TOKENS_PER_SECOND) for n in lengths.tolist()]
        rows, efforts = generate(model.llm, inputs, model.tokenizer.eos_id, room, self.num_beams, drafts)
        return list(zip(map(model.tokenizer.decode_serialized, rows), efforts, strict=True))


def decode_set(decoder: Decoder, data: str | Path, out: str | Path, batch_seconds: float, batch_size: int) -> None:
    """Decodes the mixtures of one data directory into `out`: the files of `write_hypotheses`.

    Finished batches are kept in `out/.partial.jsonl`, so that an interrupted run goes on where it was.

    Args:
        decoder: Decodes batches.
        data: Data directory with mixtures.jsonl.
        out: Folder to make.
        batch_seconds: Most seconds of audio in a batch, padding included.
        batch_size: Most mixtures in a batch.
    """
    store = open_store(Path(data) / "mixtures.jsonl")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / PARTIAL
    done = dict(read_partial(partial))
    lengths = {name: n for name, n in sorted(store.lengths().items(), key=lambda kv: kv[1]) if name not in done}
    with (
        open(partial, "a", encoding="utf-8") as f,
        tqdm(total=len(lengths) + len(done), initial=len(done), desc=out.name, unit="mix", mininterval=2) as bar,
    ):
        for batch in sorted_batches(lengths, int(batch_seconds * 16000), batch_size):
            waves = [store.waveform(name) for name in batch]
            start = time.perf_counter()
            hypotheses = decoder(waves, [store.mixtures[name].text for name in batch])
            spent = (time.perf_counter() - start) / len(batch)
            for name, wave, hyp in zip(batch, waves, hypotheses, strict=True):
                row = {"id": name, "text": hyp.text, "prompt": hyp.prompt, "onsets": hyp.onsets, "words": hyp.words,
                       "seconds": spent, "audio": len(wave) / 16000,
                       "effort": asdict(hyp.effort) if hyp.effort else None}  # fmt: skip
                done[name] = row
                f.write(json.dumps(row) + "\n")
            f.flush()
            bar.update(len(batch))
    write_hypotheses(out, [done[name] for name in sorted(store.mixtures)])
    partial.unlink()


def sorted_batches(lengths: dict[str, int], samples: int, size: int) -> Iterator[list[str]]:
    """Cuts ids, sorted by length, into batches of at most `size` mixtures and `samples` samples with padding."""
    batch: list[str] = []
    for name, length in lengths.items():
        if batch and (len(batch) == size or length * (len(batch) + 1) > samples):
            yield batch
            batch = []
        batch.append(name)
    if batch:
        yield batch


def read_partial(path: Path) -> Iterator[tuple[str, dict]]:
    """Rows of an interrupted run; a line that was cut off, or is none that `decode_set` wrote, is dropped."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            with atomic_write(path) as f:
                f.writelines(whole)
        for line in whole:
            with contextlib.suppress(UserError):
                row = parse_json(line, str(path))
                if is_row(row):
                    yield row["id"], row


def is_row(row: Any) -> bool:
    """Whether `decode_set` may have written a row of PARTIAL."""
    if misfit(row, ROW) or not is_name(row["id"]) or row["audio"] <= 0:
        return False
    effort = row.get("effort")
    return effort is None or not misfit(effort, EFFORT) and effort.keys() == EFFORT.keys() and effort["tokens"] > 0


def write_hypotheses(out: Path, rows: list[dict]) -> None:
    """Writes hyp.seglst.json, speed.json, prompt, onsets, prompt.ctm; `text` comes last and marks all as complete."""
    segments = [
        {"session_id": row["id"], "speaker": str(number), "words": words}
        for row in rows
        for number, words in enumerate(split_talkers(row["text"]), 1)
    ]
    with atomic_write(out / "hyp.seglst.json") as f:
        json.dump(segments, f, indent=0)
    spent, audio = sum(row["seconds"] for row in rows), sum(row["audio"] for row in rows)
    with atomic_write(out / "speed.json") as f:
        json.dump({"real_time_factor": spent / audio, "audio_seconds": audio, "threads": torch.get_num_threads(),
                   "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None, **passes(rows)},
                  f)  # fmt: skip
    if any(row["prompt"] for row in rows):
        write_kaldi(out / "prompt", ((row["id"], row["prompt"]) for row in rows))
    if any(row["onsets"] for row in rows):
        write_kaldi(out / "onsets", ((row["id"], " ".join(f"{s:.3f}" for s in row["onsets"])) for row in rows))
    if any(row["words"] for row in rows):
        write_ctm(out / "prompt.ctm", ((row["id"], [TimedWord(*word) for word in row["words"]]) for row in rows))
    write_kaldi(out / "text", ((row["id"], row["text"]) for row in rows))


def passes(rows: list[dict]) -> dict[str, float | None]:
    """Entries of speed.json about the LLM's passes, over the rows for which they were counted."""
    efforts = [Effort(**row["effort"]) for row in rows if row.get("effort")]
    if not efforts:
        return {}
    total = sum(efforts, Effort())
    return {
        "passes_per_mixture": total.passes / len(efforts),
        "tokens_per_mixture": total.tokens / len(efforts),
        "draft_acceptance": total.accepted / total.verified if total.verified else None,
        "written_by_draft": total.accepted / total.tokens,
    }


def require_named_oracle(model: SOPModel, mode: str, out: Path) -> None:
    """Refuses to write hypotheses of a prompt from the reference into a folder that looks like an honest system."""
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
    modes = ["sop" if model.objective == "joint" else model.objective]
    if "ctc" not in modes and (model.ctc_weight or model.objective == "sop"):
        modes.append("ctc")
    return modes


def require_mode(model: SOPModel, mode: str) -> None:
    """Refuses to decode a model in a mode that it was not trained for."""
    trained = trained_modes(model)
    if mode not in trained:
        raise UserError(f"--mode {mode}: this run was trained for {model.objective}; use {' or '.join(trained)}")
