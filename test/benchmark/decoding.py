#!/usr/bin/env python3
"""Times greedy decoding, with and without a draft, against `generate` of transformers with its cache.

`generate` runs with the LoRA adapters of peft apart, as after training, and with them merged into the weights, as ours
does in float32. All get the same weights and inputs, in turn in one process, mixtures one by one and in batches of
similar length. Either a trained run decodes data directories, with the drafts of its own CTC heads:

    python test/benchmark/decoding.py --run exp/stage3_sop --mode sop data/test_2mix_clean data/test_3mix_clean

or an LLM with random weights writes 60 tokens from random prompts, with drafts that differ from its output by shares of
substituted, missing and additional tokens:

    python test/benchmark/decoding.py --shape smollm2-135m --errors 0 0.1 0.3 1
    python test/benchmark/decoding.py --llm FOLDER --dtype bfloat16

Random weights are for float32 only: their choices are so close that in bfloat16 rounding decides. `--llm` takes a
pretrained LLM, which goes on repeating the text of its prompt.

Times are CPU seconds where torch has one thread (OMP_NUM_THREADS=1), so that other jobs of the machine hardly count.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

ERRORS = (0.0, 0.1, 0.3, 1.0)
SHAPES = {  # hidden, intermediate, layers, heads, key-value heads, vocabulary
    "tiny": (32, 64, 2, 2, 1, 100),
    "smollm2-135m": (576, 1536, 30, 9, 3, 49152),
    "llama-3.2-1b": (2048, 8192, 16, 32, 8, 128256),
}
EOS, SC = 1, 2


@dataclass
class Case:
    """One mixture: its prompt (L, D), most tokens of the output, and the draft."""

    prompt: torch.Tensor
    room: int
    draft: list[int]


def make_llm(shape: str, folder: str) -> str:
    """Writes an LLM with weights so large that it does not write one token for ever."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, intermediate, layers, heads, kv_heads, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        initializer_range=3 * hidden**-0.5 if shape == "tiny" else 0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def load_llm(folder: str, dtype: str):
    """An LLM with two adapters, as in stage 3."""
    from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM

    llm = AdaptedCausalLM(folder, SC, {"sot": {}, "sop": {}}, dtype=dtype).eval()
    llm.activate(["sot", "sop"])
    return llm


def random_cases(llm, number: int, prompt: int, tokens: int, device: str) -> list[Case]:
    """Prompts of about `prompt` positions that repeat a text two and a half times; drafts are made later."""
    rng = random.Random(0)
    cases = []
    for _ in range(number):
        size = rng.randint(prompt * 3 // 4, prompt * 5 // 4)
        ids = [rng.randrange(SC + 1, llm.base.config.vocab_size) for _ in range(-(-size * 2 // 5))]
        cases.append(Case(llm.embed(torch.tensor((ids * 3)[:size], device=device)), tokens, []))
    return cases


def run_cases(model, mode: str, data: str, number: int) -> list[Case]:
    """The prompts that a trained model builds for mixtures of a data directory, and the output of its heads."""
    from espnet2_sop.decoding import decoder
    from espnet2_sop.mixture.loader import open_store

    store, cases = open_store(Path(data) / "mixtures.jsonl"), []
    decoder = decoder.Decoder(model, mode)

    def keep(llm, inputs, eos_id, room, num_beams, drafts):
        cases.append(Case(inputs.embeds[0], room[0], drafts[0] if drafts else []))
        return [[]], [[]], [None]

    decoder.generate, original = keep, decoder.generate
    try:
        for name in list(store.lengths())[:number]:
            decoder([store.waveform(name)])
    finally:
        decoder.generate = original
    return cases


def spoil(rng: random.Random, truth: list[int], errors: float, vocabulary: int) -> list[int]:
    """The output with a share of errors: two thirds substitutions, one sixth each missing and additional tokens."""
    draft = []
    for token in truth:
        kind = rng.random() / errors if errors else 1.0
        other = rng.randrange(3, vocabulary)
        if kind >= 1:
            draft.append(token)
        elif kind < 2 / 3:
            draft.append(other)
        elif kind < 5 / 6:
            draft += [token, other]
    return draft


def batch_of(cases: list[Case]):
    """Left-padded input of the LLM."""
    from espnet2_sop.model.llm.prompt import LLMInput

    device = cases[0].prompt.device
    embeds = torch.nn.utils.rnn.pad_sequence([c.prompt for c in cases], batch_first=True, padding_side="left")
    sizes = torch.tensor([len(c.prompt) for c in cases], device=device)
    columns = torch.arange(embeds.size(1), device=device) - (embeds.size(1) - sizes[:, None])
    none = sizes[:0]
    return LLMInput(embeds, columns >= 0, columns.clamp(min=0), none, none, none)


def of_transformers(llm, cases: list[Case], eos: int) -> list[list[int]]:
    from transformers import GenerationConfig

    inputs, room = batch_of(cases), max(c.room for c in cases)
    config = GenerationConfig(max_new_tokens=room, do_sample=False, eos_token_id=eos, pad_token_id=eos)
    output = llm.base.generate(inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config)
    return [
        (ids[: ids.index(eos)] if eos in ids else ids)[: c.room] for ids, c in zip(output.tolist(), cases, strict=True)
    ]


def of_ours(llm, cases: list[Case], eos: int, draft: bool, counted: list | None = None) -> list[list[int]]:
    from espnet2_sop.decoding.generate import generate

    drafts = [c.draft for c in cases] if draft else None
    written, _, took = generate(llm, batch_of(cases), eos, [c.room for c in cases], 1, drafts)
    if counted is not None:
        counted += took
    return written


class Clock:
    """Seconds of a function call and, on a GPU, the peak of its memory in MiB."""

    def __init__(self, device: str):
        self.cuda = device == "cuda"
        self.now = time.process_time if not self.cuda and torch.get_num_threads() == 1 else time.perf_counter
        self.peaks: dict[str, float] = {}

    def __call__(self, name: str, function, *args):
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        start = self.now()
        result = function(*args)
        if self.cuda:
            torch.cuda.synchronize()
            self.peaks[name] = max(self.peaks.get(name, 0), torch.cuda.max_memory_allocated() / 2**20)
        return self.now() - start, result


@torch.inference_mode()
def compare(title: str, llm, cases: list[Case], eos: int, size: int, repeat: int) -> None:
    """Prints one line: medians over repetitions, in ms for a mixture, ratios, equality and passes."""
    from espnet2_sop.decoding.generate import DecodingStatistics

    device = llm.sc_input.device.type
    cases = sorted(cases, key=lambda c: len(c.prompt))
    batches = [cases[i : i + size] for i in range(0, len(cases), size)]
    clock, counted, adapters = Clock(device), [], list(llm.peft.base_model.active_adapters)
    calls = {
        "generate": lambda batch, _: of_transformers(llm, batch, eos),
        "merged generate": lambda batch, _: of_transformers(llm, batch, eos),
        "plain": lambda batch, _: of_ours(llm, batch, eos, False),
        "draft": lambda batch, counts: of_ours(llm, batch, eos, True, counts),
    }
    totals = {name: [] for name in calls}
    for function in calls.values():
        function(batches[0], None)
    for number in range(repeat):
        outputs = {name: [] for name in calls}
        spent = dict.fromkeys(calls, 0.0)
        for batch in batches:
            llm.activate(adapters)
            for name, function in calls.items():
                if name != "generate":
                    llm.merge()
                seconds, written = clock(name, function, batch, counted if not number else None)
                spent[name] += seconds
                outputs[name] += written
        for name, seconds in spent.items():
            totals[name].append(seconds)
    ms = {name: statistics.median(values) * 1000 / len(cases) for name, values in totals.items()}
    same = [sum(map(list.__eq__, outputs["generate"], outputs[name])) for name in ("plain", "draft")]
    total = sum(counted, DecodingStatistics())
    acceptance = f"{100 * total.accepted / total.verified:.0f} %" if total.verified else "none"
    memory = "".join(f", {name} {peak:.0f} MiB" for name, peak in clock.peaks.items())
    faster = {name: " and ".join(f"{ms[peer] / ms[name]:.2f}" for peer in list(ms)[:2]) for name in ("plain", "draft")}
    print(
        f"{title}, {device}, batch {size}: generate {ms['generate']:.1f} ms, merged {ms['merged generate']:.1f}, ours "
        f"without draft {ms['plain']:.1f} ({faster['plain']} times as fast), with draft {ms['draft']:.1f} "
        f"({faster['draft']} times as fast); equal {same[0]} and {same[1]} of {len(cases)}; "
        f"{total.tokens / len(cases):.1f} tokens in {total.passes / len(cases):.1f} passes, accepted {acceptance}, "
        f"{100 * total.accepted / total.tokens:.0f} % of the output{memory}; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="trained run; without it the LLM has random weights")
    parser.add_argument("--mode", choices=("sot", "sop"), default="sop", help="of the run (default: %(default)s)")
    parser.add_argument("--checkpoint", default="valid.acc.ave.pth", help="of the run (default: %(default)s)")
    parser.add_argument("--shape", choices=SHAPES, default="smollm2-135m", help="random weights (default: %(default)s)")
    parser.add_argument("--llm", help="pretrained LLM in place of random weights")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the LLM without a run")
    parser.add_argument("--errors", type=float, nargs="+", default=ERRORS, help="shares of wrong tokens in drafts")
    parser.add_argument("--prompt", type=int, default=150, help="positions of random prompts (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=60, help="tokens after random prompts (default: %(default)s)")
    parser.add_argument("--number", type=int, default=16, help="mixtures of each kind (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="measurements (default: %(default)s)")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=(1, 8), help="(default: 1 8)")
    parser.add_argument("data", nargs="*", help="data directories with mixtures.jsonl, for --run")
    args = parser.parse_args()
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        benchmark(args, device)


def benchmark(args: argparse.Namespace, device: str) -> None:
    if args.run:
        from espnet2_sop.decoding.decoder import load_run

        model = load_run(args.run, args.checkpoint, device)
        for data in args.data:
            cases = run_cases(model, args.mode, data, args.number)
            for size in args.batch_sizes:
                compare(Path(data).name, model.llm, cases, model.tokenizer.eos_id, size, args.repeat)
        return
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        llm = load_llm(args.llm or make_llm(args.shape, folder), args.dtype).to(device)
    title = f"{Path(args.llm).name if args.llm else args.shape} {args.dtype}"
    with torch.inference_mode():
        cases = random_cases(llm, args.number, args.prompt, args.tokens, device)
        truths = [of_transformers(llm, [case], EOS)[0] for case in cases]
    for errors in args.errors:
        for case, truth in zip(cases, truths, strict=True):
            case.draft = spoil(rng, truth, errors, llm.base.config.vocab_size)
        for size in args.batch_sizes:
            compare(f"{title}, {errors:.0%} errors", llm, cases, EOS, size, args.repeat)


if __name__ == "__main__":
    main()
