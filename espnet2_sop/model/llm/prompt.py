"""The LLM's input: the same builder for training, scoring and decoding."""

from dataclasses import dataclass

import torch

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM, Speech
from espnet2_sop.model.masks import length_mask
from espnet2_sop.text.llm_tokenizer import LLMTokenizer, join

SOP_SOURCES = ("ctc", "reference", "none")
OTHER = "other"  # in decoding only: the prompt of another mixture
CHAT_DATE = "26 Jul 2024"  # Llama 3 writes the date into its template; today's would change the prompt every day
SOP_MARK, SPEECH_MARK = "\u2402SOP\u2403", "\u2402SPEECH\u2403"


@dataclass(frozen=True)
class LLMInput:
    """A batch for the LLM.

    Attributes:
        embeds: (B, L, D).
        mask: (B, L) bool, True at valid positions.
        positions: (B, L) long, counted over valid positions of the row.
        label_rows, label_columns: (N,) each: the positions whose next token is a label, row by row.
        labels: (N,) long.
        speech: What is read by cross-attention, if the LLM does that.
    """

    embeds: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    label_rows: torch.Tensor
    label_columns: torch.Tensor
    labels: torch.Tensor
    speech: Speech | None = None


class PromptBuilder:
    """Puts instruction, serialized output prompt, speech and text in one row.

    Base models read `[BOS] [SOP] [speech] [text]`; chat models read the same inside their chat template, with
    the instruction first (paper, section on SOP adaptation).

    Args:
        tokenizer: The LLM's.
        style: `base` or `chat`.
        instruction: Text before the SOP; empty for none.
        before_speech, after_speech: Text markers around the speech frames.
        sop_source: Where stage 3 takes the SOP from: `ctc` (the heads), `reference` (the true text, an oracle: an
            upper bound for the value of a prompt) or `none` (instruction only).
        sop_separator: Put `<sc>` between the talkers of the SOP.
        confidence_mark: Text or special token put behind every word of the SOP that CTC was not sure of, e.g. `?`;
            empty: no marks.
        confidence_threshold: Words with a confidence below it (0 to 1, that of their least sure token) get the mark.
    """

    def __init__(
        self,
        tokenizer: LLMTokenizer,
        style: str = "base",
        instruction: str = "",
        before_speech: str = "",
        after_speech: str = "",
        sop_source: str = "ctc",
        sop_separator: bool = True,
        confidence_mark: str = "",
        confidence_threshold: float = 0.5,
    ):
        if style not in ("base", "chat"):
            raise UserError(f"prompt_conf.style: {style!r} is not known; base or chat")
        if confidence_mark and sop_source != "ctc":
            raise UserError(
                "prompt_conf.confidence_mark: only CTC has confidences; use sop_source: ctc or leave it out"
            )
        self.tokenizer = tokenizer
        self.sop_source = require_choice("prompt_conf.sop_source", sop_source, SOP_SOURCES)
        self.sop_separator = sop_separator
        self.confidence_mark = tokenizer.hf.encode(confidence_mark, add_special_tokens=False)
        self.confidence_threshold = confidence_threshold
        body = f"{instruction}{SOP_MARK}{before_speech}{SPEECH_MARK}{after_speech}"
        if style == "chat":
            if tokenizer.hf.chat_template is None:
                raise UserError("prompt_conf.style: this LLM has no chat template; use style: base")
            turn = [{"role": "user", "content": body}]
            body = tokenizer.hf.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True, date_string=CHAT_DATE
            )
        head, _, rest = body.partition(SOP_MARK)
        middle, _, tail = rest.partition(SPEECH_MARK)
        encode = tokenizer.hf.encode
        bos = [tokenizer.hf.bos_token_id] if style == "base" and tokenizer.hf.bos_token_id is not None else []
        self.head = bos + encode(head, add_special_tokens=False)
        self.middle = encode(middle, add_special_tokens=False)
        self.tail = encode(tail, add_special_tokens=False)

    def read_from(self, sop_source: str) -> None:
        """Chooses where decoding takes the SOP from: as training, or `other`, the SOP of another mixture."""
        self.sop_source = require_choice("sop_source", sop_source, (*SOP_SOURCES, OTHER))

    def marked(self, ids: list[int], confidence: float) -> list[int]:
        """Marks a word of the prompt that CTC was not sure of.

        Args:
            ids: Token ids of the word.
            confidence: 0 to 1, that of its least sure token.

        Returns:
            The ids, with the mark behind them if the confidence is below the threshold.
        """
        return ids + self.confidence_mark if confidence < self.confidence_threshold else ids

    def sop_ids(self, talkers: list[list[int]]) -> list[int]:
        """Token ids of each slot -> ids of the prompt; empty slots add nothing, no separator either."""
        if self.sop_separator:
            return join(talkers, self.tokenizer.sc_id)
        return [token for ids in talkers for token in ids]

    def build(
        self,
        llm: AdaptedCausalLM,
        speech: torch.Tensor,
        lengths: torch.Tensor,
        sop: list[list[int]] | None = None,
        targets: list[list[int]] | None = None,
    ) -> LLMInput:
        """Builds the batch: padding on the right with targets (training), on the left without (decoding).

        Args:
            llm: Embeds the tokens. If it reads speech by cross-attention, no frames stand in the rows.
            speech: (B, F, D) projected frames.
            lengths: (B,) frames.
            sop: Prompt ids of each row; None for a model without SOP.
            targets: Ids that each row shall write, with end of sequence.

        Returns:
            Embeddings with mask and positions; with targets also the label positions.
        """
        device = speech.device
        rows, label_rows, label_columns, labels = [], [], [], []
        in_rows = torch.zeros_like(lengths) if llm.reads_encoder else lengths
        for i, frames in enumerate(in_rows.tolist()):
            before = self.head + (sop[i] if sop else []) + self.middle
            target = targets[i] if targets else []
            ids = torch.tensor(before + self.tail + target, dtype=torch.long, device=device)
            words = llm.embed(ids)
            rows.append(torch.cat([words[: len(before)], speech[i, :frames].to(words.dtype), words[len(before) :]]))
            start = len(before) + frames + len(self.tail)
            label_rows += [i] * len(target)
            label_columns += range(start - 1, start - 1 + len(target))
            labels += target
        sizes = torch.tensor([len(row) for row in rows], device=device)
        width = int(sizes.max())
        embeds = speech.new_zeros(len(rows), width, rows[0].size(-1), dtype=rows[0].dtype)
        columns = torch.arange(width, device=device)[None, :]
        left = torch.zeros_like(sizes) if targets else width - sizes
        mask = (columns >= left[:, None]) & (columns < (left + sizes)[:, None])
        embeds[mask] = torch.cat(rows)
        as_tensor = lambda values: torch.tensor(values, dtype=torch.long, device=device)  # noqa: E731
        return LLMInput(
            embeds=embeds,
            mask=mask,
            positions=(columns - left[:, None]).clamp(min=0),
            label_rows=as_tensor(label_rows),
            label_columns=as_tensor(label_columns),
            labels=as_tensor(labels),
            speech=Speech(speech.to(embeds.dtype), length_mask(lengths, speech.size(1))) if llm.reads_encoder else None,
        )


def corrupt(ids: list[int], rate: float, generator: torch.Generator | None = None) -> list[int]:
    """Adds errors to a prompt: drops, substitutes or swaps tokens.

    Heads write better prompts for mixtures they were trained on than for new ones; errors make up for it. Each token is
    changed with probability `rate`, in one of the three ways; substitutes come from the prompt itself.

    Args:
        ids: Prompt ids.
        rate: 0 to 1.
        generator: Source of randomness; torch's global one when not given.

    Returns:
        The prompt with errors.
    """
    if not ids or rate <= 0:
        return list(ids)
    hits = (torch.rand(len(ids), generator=generator) < rate).tolist()
    kinds = torch.randint(3, (len(ids),), generator=generator).tolist()
    others = torch.randint(len(ids), (len(ids),), generator=generator).tolist()
    spoiled: list[int] = []
    for token, hit, kind, other in zip(ids, hits, kinds, others, strict=True):
        if not hit:
            spoiled.append(token)
        elif kind == 1:
            spoiled.append(ids[other])
        elif kind == 2:
            spoiled.insert(max(len(spoiled) - 1, 0), token)
    return spoiled
