"""What the benchmarks of training and scaling share: models with random weights, mixtures of noise, time and memory.

Speed depends on sizes and lengths, not on what the weights know.
"""

import argparse
import ctypes
import gc
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from espnet2.train.collate_fn import CommonCollateFn

SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"]
FIRST_ID = 300  # tokens below are special or bytes
TOKENS_PER_SECOND = 3.5  # of one talker: 2.7 words, 1.3 tokens a word
HEADS = 1000  # vocabulary of the CTC heads
SIZES = {  # encoder: width, layers, width of the convolutions; LLM: width, layers; downsampler, Separator
    "tiny": (24, 1, 16, 32, 1, 32, 16),
    "small": (256, 6, 128, 256, 6, 256, 256),
    "large": (1024, 24, 512, 2048, 16, 1024, 896),  # WavLM-Large and Llama-3.2-1B
}


def save_pretrained(folder: Path, size: str, vocabulary: int) -> None:
    """Writes an encoder and an LLM of a size below `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, WavLMConfig, WavLMModel

    width, layers, conv, llm_width, llm_layers, _, _ = SIZES[size]
    torch.manual_seed(0)
    encoder = WavLMConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 2),
        intermediate_size=4 * width,
        conv_dim=(conv,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=128 if width > 100 else 8,
        num_conv_pos_embedding_groups=16 if width > 100 else 2,
    )
    WavLMModel(encoder).save_pretrained(folder / "encoder")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([""], trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1])
    fast.save_pretrained(folder / "llm")
    llm = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=llm_width,
        intermediate_size=4 * llm_width,
        num_hidden_layers=llm_layers,
        num_attention_heads=max(llm_width // 64, 2),
        num_key_value_heads=max(llm_width // 256, 1),
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(llm).save_pretrained(folder / "llm")


def build(folder: Path, size: str, objective: str, trainable: list[str], device: str, checkpoints: bool = False):
    """A SOPModel of a size, in training mode, over what `save_pretrained` wrote; with gradient checkpoints or not."""
    from espnet2_sop.model.build import build_model
    from espnet2_sop.model.ctc.serialized import SerializedCTC
    from espnet2_sop.text.vocabulary import save_vocabulary

    *_, down, hidden = SIZES[size]
    save_vocabulary(folder / "vocab", "llm", [""] * 259)
    args = argparse.Namespace(
        encoder="huggingface",
        encoder_conf={"pretrained": str(folder / "encoder"), "gradient_checkpointing": checkpoints},
        downsampler_conf={"output_size": down},
        separator="lstm",
        separator_conf={"hidden_size": hidden, "branch_size": down},
        llm_conf={
            "pretrained": str(folder / "llm"),
            "dtype": "bfloat16" if device == "cuda" else "float32",
            "gradient_checkpointing": checkpoints,
        },
        prompt_conf={},
        ctc_vocab=str(folder / "vocab"),
        num_talkers=3,
        model_conf={"objective": objective, "trainable": trainable},
    )
    model = build_model(args)
    model.front_end.ctc = SerializedCTC(down, HEADS, 3).requires_grad_("ctc" in trainable)
    return model.to(device).train()


def mixture(rng: np.random.Generator, seconds: float, talkers: int, vocabulary: int) -> dict[str, np.ndarray]:
    """One mixture as the model's preprocessor would give it; the talkers speak from their onset to the end."""
    onsets = [0.0, *np.cumsum(rng.uniform(1.0, 1.5, talkers - 1))]
    counts = [max(1, int((seconds - onset) * TOKENS_PER_SECOND)) for onset in onsets]
    ids = [rng.integers(FIRST_ID, vocabulary, count) for count in counts]
    text = np.concatenate([part for one in ids for part in (one, [2])])
    text[-1] = 1  # <sc> between the talkers, the end of sequence behind them
    row = {"speech": 0.1 * rng.standard_normal(int(seconds * 16000)).astype("float32"), "text": text}
    for slot in range(3):
        row[f"text_spk{slot + 1}"] = rng.integers(0, HEADS, counts[slot]) if slot < talkers else np.zeros(0, int)
    return row


def collate(rows: list[dict[str, np.ndarray]], device: str) -> dict[str, torch.Tensor]:
    batch = CommonCollateFn(0.0, -1)([(str(number), row) for number, row in enumerate(rows)])[1]
    return {name: value.to(device) for name, value in batch.items()}


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call, device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


class PeakMemory:
    """MiB that a block needs on top of what was there: of the GPU's allocator, or of the process (VmHWM)."""

    def __init__(self, device: str):
        self.device = device

    def __enter__(self):
        gc.collect()
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back first, or it would hide what comes
            Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
            self.before = self._status("VmRSS")
        return self

    def __exit__(self, *error) -> None:
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else self._status("VmHWM")
        self.mib = (peak - self.before) / 2**20

    @staticmethod
    def _status(key: str) -> int:
        return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) * 1024


def median(values: list[float]) -> float:
    return statistics.median(values)


def machine(device: str) -> str:
    """What the numbers were measured on."""
    load = Path("/proc/loadavg").read_text().split()[0]
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}, load of the machine {load}"
