#!/usr/bin/env python3
"""Trains the small stand-in for LLaMA: a byte-level BPE tokenizer and a LlamaForCausalLM.

It reads commands of the grammar, word lists, Python's own help texts, and documents that say again what was
said with slips or stutters: from these, as from the repetitions in web text, a language model learns to copy from its
context, which both speech frames and prompts rely on. No sentence of the embedded test or dev set is in its text.

    python local/make_llm.py --corpus corpus/LibriSpeech --out pretrained/llm
"""

import argparse
import pydoc_data.topics
import random
import re
from pathlib import Path

import torch
from grammar import SLOTS, sentence
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(4)]
WORDS = [word for words in SLOTS.values() for word in words]
LENGTH = 128  # tokens of a training row


def held_out(corpus: Path) -> set[str]:
    """Sentences of dev and test, lower case."""
    files = [p for subset in ("dev-mini", "test-mini") for p in (corpus / subset).rglob("*.trans.txt")]
    return {line.split(" ", 1)[1].strip().lower() for p in files for line in open(p, encoding="utf-8")}


def help_texts() -> list[str]:
    """Paragraphs of Python's help, lower case, without markup."""
    text = " \n".join(pydoc_data.topics.topics.values()).lower()
    return [re.sub(r"\s+", " ", p).strip() for p in text.split("\n\n") if len(p) > 80]


def slip(words: list[str], rng: random.Random) -> list[str]:
    """A copy with some words changed or lost.

    Args:
        words: of a line.
        rng: source of randomness.

    Returns:
        Words.
    """
    draws = [rng.random() for _ in words]
    return [rng.choice(WORDS) if d < 0.1 else w for w, d in zip(words, draws, strict=True) if d > 0.05]


def stutter(words: list[str], rng: random.Random) -> list[str]:
    """A copy in which each word comes one to three times.

    Args:
        words: of a line.
        rng: source of randomness.

    Returns:
        Words.
    """
    return [word for word in words for _ in range(rng.randint(1, 3))]


def document(rng: random.Random, paragraphs: list[str], forbidden: set[str]) -> str:
    """One document: help text, commands, or lines that are repeated without their slips or stutters.

    Half of the repeated lines have no grammar, so that only copying can tell how they continue.

    Args:
        rng: source of randomness.
        paragraphs: help texts.
        forbidden: sentences that must not occur.

    Returns:
        Lines, lower case.
    """
    kind = rng.random()
    if kind < 0.05:
        words = rng.choice(paragraphs).split()
        start = rng.randrange(max(1, len(words) - 40))
        return " ".join(words[start : start + 40])
    said = []
    for _ in range(rng.randint(1, 2)):
        text = sentence(rng)
        while text in forbidden:
            text = sentence(rng)
        said.append(rng.choices(WORDS, k=rng.randint(3, 10)) if kind > 0.5 else text.split())
    clean = "\n".join(" ".join(words) for words in said)
    if kind < 0.12:
        return clean
    spoil = rng.choice([slip, stutter, stutter, lambda words, _: words])
    return "\n".join([" ".join(spoil(words, rng)) for words in said] + [clean])


def make_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the special tokens.

    Args:
        texts: that it is trained on.
        size: of its vocabulary.

    Returns:
        The tokenizer in the form of transformers.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    forbidden, paragraphs = held_out(args.corpus), help_texts()
    # a leading space everywhere: words look the same at the start of a line and inside it
    write = lambda: " " + document(rng, paragraphs, forbidden).replace("\n", "\n ")  # noqa: E731
    tokenizer = make_tokenizer([write() for _ in range(8000)], size=768)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1)
    stream: list[int] = []
    bar = tqdm(range(args.steps))
    for _ in bar:
        while len(stream) < args.batch * LENGTH:
            stream += [tokenizer.bos_token_id, *tokenizer.encode(write()), tokenizer.eos_token_id]
        ids = torch.tensor(stream[: args.batch * LENGTH]).view(args.batch, LENGTH)
        del stream[: args.batch * LENGTH]
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
