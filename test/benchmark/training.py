#!/usr/bin/env python3
"""Times a training step of each stage against the straightforward step, in one process, in turn.

The straightforward step has logits at all positions, computes encoder, heads and prompt in every step, and cuts
batches at random. What is done instead is added one by one, so that the table shows what each is worth. All variants
go once through the same mixtures, in as many batches; weights are random, the vocabulary of the LLM has 128k tokens.

    python test/benchmark/training.py                    # on the GPU if there is one, else on the CPU
    python test/benchmark/training.py --size large       # WavLM-Large and Llama-3.2-1B
"""

import argparse
import itertools
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
import synthetic

from espnet2_sop.io.tensor_store import CachedTensors, CacheWriter
from espnet2_sop.model.ctc.serialized import TalkerTokens
from espnet2_sop.model.ctc.table import to_table
from espnet2_sop.training.iterator import length_batches

STAGES = {
    "stage 1 (sot)": ("sot", ["encoder", "downsampler", "projector", "sot"], ["labels", "batches"]),
    "stage 2 (ctc)": ("ctc", ["separator", "ctc"], ["batches", "frames"]),
    "stage 3 (sop)": ("sop", ["sop"], ["labels", "batches", "frames", "sop"]),
}
WORDS = {
    "labels": "+ logits at label positions only",
    "batches": "+ batches by length of audio and text",
    "frames": "+ cached frames",
    "sop": "+ cached prompt",
}


class Runner:
    """Goes through the mixtures in one of the variants.

    Args:
        model: In training mode.
        rows: Mixtures (`synthetic.mixture`).
        size: Mixtures in a batch.
        folder: For caches.
        device: `cpu` or `cuda`.
    """

    def __init__(self, model, rows: list[dict], size: int, folder: Path, device: str):
        self.model, self.rows, self.size, self.device = model, rows, size, device
        self.optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
        slots = model.front_end.slots
        # heads with random weights would write a token for every frame: they are computed, then the true tokens taken
        model.front_end.slots = lambda encoded: [self.spoken, slots(encoded)][0]
        model.llm_ids = lambda tokens: [token + synthetic.FIRST_ID for token in tokens]
        self.caches = self._fill(folder) if model.objective != "sot" else {}

    @torch.no_grad()
    def _fill(self, folder: Path) -> dict[str, CachedTensors]:
        with CacheWriter(folder / "frames") as frames, CacheWriter(folder / "sop") as sop:
            for number, row in enumerate(self.rows):
                speech = torch.from_numpy(row["speech"])[None].to(self.device)
                encoded = self.model.front_end.encode(speech, torch.tensor([speech.size(1)], device=self.device))
                frames.add(str(number), encoded.cacheable.values[0])
                sop.add(str(number), to_table(self._slots(row)))
        return {kind: CachedTensors(folder / kind) for kind in ("frames", "sop")}

    @staticmethod
    def _slots(row: dict) -> list[TalkerTokens]:
        ids = [row[f"text_spk{slot}"].tolist() for slot in (1, 2, 3)]
        return [TalkerTokens(one, list(range(len(one))), [1.0] * len(one)) for one in ids]

    def batches(self, done: list[str]) -> list[list[int]]:
        names = [str(number) for number in range(len(self.rows))]
        rng = np.random.default_rng(0)
        if "batches" in done:
            audio = {name: len(row["speech"]) for name, row in zip(names, self.rows, strict=True)}
            text = {name: len(row["text"]) for name, row in zip(names, self.rows, strict=True)}
            found = length_batches(audio, text, sys.maxsize, self.size, rng)
        else:
            found = itertools.batched(rng.permutation(names), self.size)
        return [[int(name) for name in batch] for batch in found]

    def step(self, numbers: list[int], done: list[str]) -> None:
        rows = [dict(self.rows[number]) for number in numbers]
        for number, row in zip(numbers, rows, strict=True):
            row |= {kind: self.caches[kind][str(number)] for kind in ("frames", "sop") if kind in done}
            if "frames" in done:
                del row["speech"]
        self.spoken = [self._slots(row) for row in rows]
        batch = synthetic.collate(rows, self.device)
        self.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            if "labels" in done or self.model.objective == "ctc":
                loss = self.model(**batch)[0]
            else:
                loss = self.straightforward(batch)
        loss.sum().backward()
        self.optimizer.step()

    def straightforward(self, batch: dict) -> torch.Tensor:
        """Cross entropy of logits over all positions."""
        model = self.model
        encoded = model.front_end.encode(batch["speech"], batch["speech_lengths"])
        sop = model.sop(model.front_end.slots(encoded)) if model.objective == "sop" else None
        targets = [row[:n].tolist() for row, n in zip(batch["text"], batch["text_lengths"], strict=True)]
        inputs = model.llm_input(encoded, sop, targets)
        logits = model.llm.logits(model.llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions)).float()
        labels = torch.full(logits.shape[:2], -100, device=logits.device)
        labels[inputs.label_rows, inputs.label_columns] = inputs.labels
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def round(self, done: list[str]) -> tuple[float, float]:
        """Seconds for all mixtures, and the largest peak of a step in MiB."""
        peaks = []

        def steps() -> None:
            for numbers in self.batches(done):
                with synthetic.PeakMemory(self.device) as memory:
                    self.step(numbers, done)
                peaks.append(memory.mib)

        return synthetic.seconds_of(steps, self.device), max(peaks)


def stage(title: str, args: argparse.Namespace, folder: Path, rows: list[dict]) -> None:
    objective, trainable, ways = STAGES[title]
    model = synthetic.build(folder, args.size, objective, trainable, args.device, args.gradient_checkpointing)
    runner = Runner(model, rows, args.batch, folder / objective, args.device)
    variants = [ways[:number] for number in range(len(ways) + 1)]
    found: list[list[tuple[float, float]]] = [[] for _ in variants]
    for number in range(args.rounds + 1):  # the first one warms up
        for variant, numbers in zip(variants, found, strict=True):
            measured = runner.round(variant)
            if number:
                numbers.append(measured)
    base = found[0]
    print(f"\n{title}: {len(rows)} mixtures, {args.batch} in a batch, median of {args.rounds} rounds in turn\n")
    print("| step | ms per mixture | times faster | peak MiB | share of the peak |\n|---|---|---|---|---|")
    for variant, numbers in zip(variants, found, strict=True):
        seconds = synthetic.median([s for s, _ in numbers])
        faster = synthetic.median([b / s for (b, _), (s, _) in zip(base, numbers, strict=True)])
        peak, most = max(p for _, p in numbers), max(p for _, p in base)
        name = WORDS[variant[-1]] if variant else "straightforward"
        print(
            f"| {name} | {1000 * seconds / len(rows):.0f} | {faster:.2f} | {peak:.0f} | {peak / max(most, 1):.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=synthetic.SIZES, default="small", help="of the model (default: %(default)s)")
    parser.add_argument("--vocabulary", type=int, default=128256, help="of the LLM (default: %(default)s)")
    parser.add_argument("--mixtures", type=int, default=32, help="how many (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="mixtures in a batch (default: %(default)s)")
    parser.add_argument("--seconds", type=float, nargs=2, default=(3.0, 16.0), help="lengths (default: 3 to 16)")
    parser.add_argument("--stages", nargs="+", choices=("1", "2", "3"), default=("1", "2", "3"), help="(default: all)")
    parser.add_argument("--gradient_checkpointing", action="store_true", help="in all variants, as egs2/librimix")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(0)
    rows = [
        synthetic.mixture(rng, rng.uniform(*args.seconds), int(rng.integers(1, 4)), args.vocabulary)
        for _ in range(args.mixtures)
    ]
    with tempfile.TemporaryDirectory() as folder:
        synthetic.save_pretrained(Path(folder), args.size, args.vocabulary)
        print(f"size {args.size}, vocabulary {args.vocabulary}; {synthetic.machine(args.device)}")
        for title in (title for title in STAGES if title.split()[1] in args.stages):
            stage(title, args, Path(folder), rows)


if __name__ == "__main__":
    main()
