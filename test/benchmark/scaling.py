#!/usr/bin/env python3
"""Cost of stage 3 against the length of a mixture, the batch size and the number of talkers, with a plot.

Each point is the median of some rounds over all points in turn. The parts are timed alone: the encoder, Separator and
heads (both without gradients, as stage 3 has them), and the LLM with its backward pass. `attention` is the forward
time inside the attention modules of encoder and LLM, the one thing that may grow faster than the length; `rest` is the
forward time without it. Weights are random, mixtures are noise.

    python test/benchmark/scaling.py --out scaling.png        # on the GPU if there is one, else on the CPU
"""

import argparse
import contextlib
import math
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))
import synthetic

from espnet2_sop.model.objectives import cross_entropy

AXES = {  # (seconds, batch size, talkers) of each point
    "seconds": [(s, 2, 2) for s in (2.5, 5.0, 10.0, 20.0, 30.0)],
    "batch size": [(5.0, n, 2) for n in (1, 2, 4, 8)],
    "talkers": [(10.0, 2, n) for n in (1, 2, 3)],
}
PARTS = ("encoder", "heads", "LLM", "attention", "rest")


class AttentionClock:
    """Sums up the forward time of all attention modules of a model."""

    def __init__(self, model, device: str):
        self.device = device
        self.seconds = 0.0
        for module in model.modules():
            if type(module).__name__ in ("WavLMAttention", "LlamaAttention"):
                module.register_forward_pre_hook(self._start)
                module.register_forward_hook(self._stop)

    def _start(self, *_) -> None:
        synthetic.synchronize(self.device)
        self.clock = synthetic.time.perf_counter()

    def _stop(self, *_) -> None:
        synthetic.synchronize(self.device)
        self.seconds += synthetic.time.perf_counter() - self.clock


def measure(model, attention: AttentionClock, rows: list[dict], device: str) -> dict[str, float]:
    """Seconds of each part for one batch, and the peak memory in MiB."""
    batch = synthetic.collate(rows, device)
    targets = [row[:n].tolist() for row, n in zip(batch["text"], batch["text_lengths"], strict=True)]
    front_end, found = model.front_end, {}
    with synthetic.PeakMemory(device) as memory, torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        attention.seconds = 0.0
        with torch.no_grad():
            found["encoder"] = synthetic.seconds_of(
                lambda: found.update(encoded=front_end.encode(batch["speech"], batch["speech_lengths"])), device
            )
            encoded = found.pop("encoded")
            found["heads"] = synthetic.seconds_of(lambda: front_end.slots(encoded), device)
            sop = model.reference_sop(targets)  # heads with random weights write too much
            forward = synthetic.seconds_of(lambda: cross_entropy(model, encoded, sop, targets), device)
        found["attention"] = attention.seconds
        found["rest"] = found["encoder"] + found["heads"] + forward - attention.seconds
        found["LLM"] = synthetic.seconds_of(lambda: cross_entropy(model, encoded, sop, targets)[0].backward(), device)
    found["MiB"] = memory.mib
    return found


def slope(xs: list[float], ys: list[float]) -> float:
    """Exponent of growth between the first and the last point."""
    return math.log(max(ys[-1], 1e-9) / max(ys[0], 1e-9)) / math.log(xs[-1] / xs[0])


def plot(path: Path, results: dict[str, dict[str, list[float]]], title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(results), figsize=(4.5 * len(results), 4), layout="constrained")
    for panel, (axis, columns) in zip(panels, results.items(), strict=True):
        for part in PARTS:
            panel.plot(columns["x"], columns[part], "o--" if part in ("attention", "rest") else "o-", label=part)
        panel.set(xlabel=axis, ylabel="seconds", xscale="log", yscale="log")
        panel.set_xticks(columns["x"], [f"{x:g}" for x in columns["x"]])
        panel.minorticks_off()
    panels[0].legend()
    figure.suptitle(title, fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=synthetic.SIZES, default="small", help="of the model (default: %(default)s)")
    parser.add_argument("--vocabulary", type=int, default=32000, help="of the LLM (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the lengths, for a trial (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="plot (default: %(default)s)")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(0)
    points = {
        point: [synthetic.mixture(rng, args.scale * point[0], point[2], args.vocabulary) for _ in range(point[1])]
        for axis in AXES.values()
        for point in axis
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        synthetic.save_pretrained(Path(folder), args.size, args.vocabulary)
        model = synthetic.build(Path(folder), args.size, "sop", ["sop"], device)
        attention = AttentionClock(model, device)
        found: dict[tuple, list[dict[str, float]]] = {point: [] for point in points}
        for number in range(args.rounds + 1):  # the first one warms up
            for point, rows in points.items():
                measured = measure(model, attention, rows, device)
                if number:
                    found[point].append(measured)
    title = f"size {args.size}; {synthetic.machine(device)}"
    print(f"{title}; median of {args.rounds} rounds in turn")
    results = {}
    for column, (axis, chosen) in enumerate(AXES.items()):
        keys = [*PARTS, "MiB"]
        columns = {key: [synthetic.median([one[key] for one in found[point]]) for point in chosen] for key in keys}
        columns["x"] = [float(point[(0, 1, 2)[column]]) for point in chosen]
        results[axis] = columns
        print(f"\n| {axis} | " + " | ".join(f"{part} ms" for part in PARTS) + " | peak MiB |\n|" + "---|" * 7)
        for number, x in enumerate(columns["x"]):
            cells = [f"{1000 * columns[part][number]:.0f}" for part in PARTS]
            print(f"| {x:g} | {' | '.join(cells)} | {columns['MiB'][number]:.0f} |")
        cells = [f"{slope(columns['x'], columns[key]):.2f}" for key in keys]
        print(f"| exponent | {' | '.join(cells)} |", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    plot(args.out, results, title)
    print(f"\n{args.out}")


if __name__ == "__main__":
    main()
