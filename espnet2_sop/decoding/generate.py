"""Batched decoding with a key-value cache; greedy decoding can verify a draft of the output."""

import sys
from dataclasses import dataclass, field
from itertools import chain

import torch
from transformers import GenerationConfig

from espnet2_sop.decoding.draft import Draft, PassCost, lookahead
from espnet2_sop.decoding.statistics import DecodingStatistics
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.pretrained import attention_of
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM, Speech
from espnet2_sop.model.llm.key_value_cache import RowCache, has_plain_cache
from espnet2_sop.model.llm.prompt import LLMInput

# Between the values measured on SmolLM2-135M (28 and 20) and those best for an LLM of 2 million parameters; they change
# the speed, not the output. A pass over several tokens copies keys for every group of heads. In float32 a single row
# and token makes products of matrix and vector, which are faster on CPUs.
CPU_COST = {torch.float32: PassCost(several=42, single=30), torch.bfloat16: PassCost(several=40, single=32)}
CPU_COST[torch.float16] = CPU_COST[torch.bfloat16]  # not measured
CUDA_COST = PassCost(several=256, single=256)  # about the arithmetic intensity of recent GPUs; not measured
SCORED_AT_ONCE = 64  # positions whose logits are brought to float32 together: with a large vocabulary they are large
Choices = tuple[list[int], list[float]]  # ids of one row and their log-probabilities


@dataclass
class Row:
    """State of one output while it is written.

    Attributes:
        index: Its row in the input.
        prompt: Positions of its prompt.
        room: Most tokens it may have.
        draft: Draft of its text.
        ids: Tokens written so far.
        log_probs: Log-probability of each of them.
        statistics: Passes and tokens so far.
    """

    index: int
    prompt: int
    room: int
    draft: Draft
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    statistics: DecodingStatistics = DecodingStatistics()

    def limit(self) -> int:
        """Most tokens of the draft that can be verified now; the model adds one of its own."""
        return min(len(self.draft.tokens) - self.draft.position, self.room - len(self.ids) - 1)

    def forbidden(self, verified: list[int], ngram: int) -> list[list[int]]:
        """Tokens that would repeat an n-gram, behind the output and behind each of V verified tokens.

        Args:
            verified: The V tokens.
            ngram: Length of the n-gram; 0 forbids nothing.

        Returns:
            V + 1 lists of ids.
        """
        ids, found = [*self.ids, *verified], []
        for end in range(len(self.ids), len(ids) + 1):
            tail = ids[end - ngram + 1 : end]
            starts = range(end - ngram + 1) if ngram else ()
            found.append([ids[n + ngram - 1] for n in starts if ids[n : n + ngram - 1] == tail])
        return found

    def take(self, verified: list[int], chosen: list[int], log_probs: list[float], eos_id: int) -> bool:
        """Adds the verified tokens that the model agrees with, and its own next one, to the output.

        Args:
            verified: V tokens of the draft.
            chosen: The model's V + 1 choices: for each of them, and behind the last.
            log_probs: Log-probabilities of the choices.
            eos_id: End of sequence.

        Returns:
            Whether the output is complete.
        """
        agrees = [a == b for a, b in zip(verified, chosen, strict=False)]
        accepted = index_of(False, agrees)
        new = chosen[: accepted + 1]
        self.statistics += DecodingStatistics(1, len(new), len(verified), accepted)
        ended = new[-1] == eos_id
        self.draft.refine(verified, chosen[: index_of(eos_id, chosen)], accepted + 1)
        kept = len(new) - ended
        self.ids += new[:kept]
        self.log_probs += log_probs[:kept]
        for token in new:
            self.draft.follow(token)
        return ended or len(self.ids) >= self.room


def index_of(value, values: list) -> int:
    """Index of the first occurrence of a value.

    Args:
        value: What to look for.
        values: The list.

    Returns:
        The index; the length of the list if the value is not in it.
    """
    return values.index(value) if value in values else len(values)


@torch.inference_mode()
def generate(
    llm: AdaptedCausalLM,
    inputs: LLMInput,
    eos_id: int,
    room: list[int],
    num_beams: int = 1,
    drafts: list[list[int]] | None = None,
    no_repeat_ngram: int = 0,
) -> tuple[list[list[int]], list[list[float]], list[DecodingStatistics | None]]:
    """Writes the text of every row.

    Args:
        llm: The LLM with its adapters chosen.
        inputs: Left-padded prompts (PromptBuilder.build without targets).
        eos_id: End of sequence.
        room: Longest output of each row; less where the LLM's context ends before.
        num_beams: 1 is greedy; beam search uses no drafts and counts nothing.
        drafts: Expected ids of each output, right or wrong; they change the speed only.
        no_repeat_ngram: No n-gram of this length is written twice (`no_repeat_ngram_size` of transformers); 0 forbids
            nothing.

    Returns:
        B lists of ids without the end of sequence, the log-probability of each id behind those before it, and the
        statistics of each row.

    Raises:
        UserError: A prompt does not fit into the LLM's context.
    """
    room = room_in_context(llm, inputs.mask.sum(1).tolist(), room)
    if num_beams == 1 and can_verify(llm):
        return verify(llm, inputs, eos_id, room, drafts or [[] for _ in room], no_repeat_ngram)
    config = GenerationConfig(
        max_new_tokens=max(room),
        num_beams=num_beams,
        no_repeat_ngram_size=no_repeat_ngram,
        do_sample=False,
        eos_token_id=eos_id,
        pad_token_id=eos_id,
    )
    context = context_of(llm)
    speech = inputs.speech and inputs.speech.rows([row for row in range(len(room)) for _ in range(num_beams)])

    def complete(module, args, kwargs):  # a row that has used its room goes on until the last one has
        kwargs |= llm.search_inputs(kwargs, speech)
        if kwargs.get("position_ids") is not None:
            kwargs["position_ids"] = kwargs["position_ids"].clamp(max=context - 1)
        return args, kwargs

    with llm.decoder.register_forward_pre_hook(complete, with_kwargs=True):
        output = llm.base.generate(
            inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config
        )
    rows = [ids[: min(n, index_of(eos_id, ids))] for ids, n in zip(output.tolist(), room, strict=True)]
    return rows, score(llm, inputs, rows), [None] * len(room)


def score(llm: AdaptedCausalLM, inputs: LLMInput, rows: list[list[int]]) -> list[list[float]]:
    """Log-probabilities of known outputs, in one pass.

    Args:
        llm: The LLM with its adapters chosen.
        inputs: Left-padded prompts (PromptBuilder.build without targets).
        rows: B lists of ids behind the prompts.

    Returns:
        The log-probability of each id behind the prompt and the ids before it.
    """
    device, prompt = inputs.embeds.device, inputs.embeds.size(1)
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True)
    embeds = torch.cat([inputs.embeds, llm.embed(ids.to(device))], 1)
    mask = torch.nn.functional.pad(inputs.mask, (0, ids.size(1)), value=True)  # nothing looks at what is behind
    positions = (mask.cumsum(1) - 1).clamp(0, context_of(llm) - 1)  # padding may reach beyond the context
    states = llm.hidden_states(embeds, mask, positions, speech=inputs.speech)[:, prompt - 1 :]
    return [
        log_prob(llm.logits(state[: len(row)]), torch.tensor(row, dtype=torch.long, device=device)).tolist()
        for state, row in zip(states, rows, strict=True)
    ]


def log_prob(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of tokens.

    Args:
        logits: (N, V).
        ids: (N,).

    Returns:
        (N,) float32.
    """
    total = [part.float().logsumexp(-1) for part in logits.split(SCORED_AT_ONCE)]
    return logits.gather(-1, ids[:, None])[:, 0].float() - torch.cat(total)


def can_verify(llm: AdaptedCausalLM) -> bool:
    """Whether the LLM takes a mask with a row for every query, and keeps all keys."""
    return attention_of(llm.base.config) in ("sdpa", "eager") and has_plain_cache(llm.base.config)


def context_of(llm: AdaptedCausalLM) -> int:
    """Number of positions that the LLM has; `sys.maxsize` if its configuration names no limit."""
    limits = (getattr(llm.base.config, f"max_{name}", None) for name in ("position_embeddings", "target_positions"))
    return next(filter(None, limits), sys.maxsize)


def room_in_context(llm: AdaptedCausalLM, prompts: list[int], room: list[int]) -> list[int]:
    """Cuts the room of each output to what its prompt leaves of the LLM's context.

    Args:
        llm: The LLM.
        prompts: (B,) positions of each prompt.
        room: (B,) longest output of each row.

    Returns:
        (B,) the smaller of both limits.

    Raises:
        UserError: A prompt leaves no room.
    """
    context = context_of(llm)
    if max(prompts) >= context:
        raise UserError(
            f"the prompt of a mixture (SOP and speech) has {max(prompts)} positions, the LLM's context only {context} "
            "(max_position_embeddings): cut the mixture, or use an LLM with a longer context"
        )
    return [min(n, context - used) for used, n in zip(prompts, room, strict=True)]


def verify(
    llm: AdaptedCausalLM,
    inputs: LLMInput,
    eos_id: int,
    room: list[int],
    drafts: list[list[int]],
    no_repeat_ngram: int = 0,
) -> tuple[list[list[int]], list[list[float]], list[DecodingStatistics]]:
    """Greedy decoding that reads several tokens of a draft at once and keeps those that the model would have written.

    The first pass reads the prompt and the beginning of the draft. Every pass yields the longest prefix that agrees
    with the model, and one token of its own; the next pass goes on with the draft behind it. Where drafts agree too
    little, passes read single tokens, as without a draft. This is speculative decoding (arXiv 2211.17192) for the
    greedy case, with a given text in place of the small model.

    Args:
        llm: The LLM with its adapters chosen.
        inputs: Left-padded prompts.
        eos_id: End of sequence.
        room: (B,) longest output of each row.
        drafts: A draft for every row, may be empty.
        no_repeat_ngram: As in `generate`.

    Returns:
        As `generate`.
    """
    cost = CUDA_COST if inputs.embeds.is_cuda else CPU_COST[inputs.embeds.dtype]
    prompts = [row[mask] for row, mask in zip(inputs.embeds, inputs.mask, strict=True)]
    rows = [
        Row(i, len(prompt), n, Draft(draft[: index_of(eos_id, draft)]))
        for i, (prompt, n, draft) in enumerate(zip(prompts, room, drafts, strict=True))
    ]
    done: list[Row] = []
    cache = llm.new_cache()
    while rows:
        speech = inputs.speech and inputs.speech.rows([row.index for row in rows])
        limits = [row.limit() for row in rows]
        number = lookahead([row.draft for row in rows], limits, cost) if any(limits) else 0
        verified = [row.draft.ahead(min(number, n)) for row, n in zip(rows, limits, strict=True)]
        if prompts:
            states, firsts = _read_prompts(llm, prompts, verified, cache, speech)
            prompts = []
        else:
            states, firsts = _read_tokens(llm, rows, verified, cache, speech, eos_id)
        forbidden = [row.forbidden(tokens, no_repeat_ngram) for row, tokens in zip(rows, verified, strict=True)]
        choices = _choices(llm, states, firsts, forbidden)
        ended = [row.take(tokens, *chosen, eos_id) for row, tokens, chosen in zip(rows, verified, choices, strict=True)]
        if any(ended):
            done += [row for row, end in zip(rows, ended, strict=True) if end]
            left = [i for i, end in enumerate(ended) if not end]
            rows = [rows[i] for i in left]
            cache.keep(torch.tensor(left, dtype=torch.long, device=inputs.embeds.device))
    done.sort(key=lambda row: row.index)
    return [row.ids for row in done], [row.log_probs for row in done], [row.statistics for row in done]


def _read_prompts(
    llm, prompts: list[torch.Tensor], verified: list[list[int]], cache: RowCache, speech: Speech | None
) -> tuple[torch.Tensor, list[int]]:
    """Reads prompts (L_i, D) and the drafts behind them; states (B, L, D), and the last column of each prompt."""
    device = prompts[0].device
    words = llm.embed(torch.tensor([token for tokens in verified for token in tokens], dtype=torch.long, device=device))
    parts = words.split([len(tokens) for tokens in verified])
    embeds = torch.nn.utils.rnn.pad_sequence(
        [torch.cat(pair) for pair in zip(prompts, parts, strict=True)], batch_first=True
    )
    columns = torch.arange(embeds.size(1), device=device).expand(len(prompts), -1)
    cache.place(columns, 0)
    hidden = llm.hidden_states(embeds, None, columns, cache, speech)  # padding is on the right, where no query looks
    return hidden, [len(p) - 1 for p in prompts]


def _read_tokens(
    llm, rows: list[Row], verified: list[list[int]], cache: RowCache, speech: Speech | None, padding_id: int
) -> tuple[torch.Tensor, list[int]]:
    """Reads the last token of each row and the draft behind it; states (B, L, D), and that token's column."""
    device = llm.sc_input.device
    tokens = [[row.ids[-1], *draft] for row, draft in zip(rows, verified, strict=True)]
    width = max(map(len, tokens))
    ids = torch.tensor([row + [padding_id] * (width - len(row)) for row in tokens], device=device)
    starts = [row.prompt + len(row.ids) - 1 for row in rows]
    seen = max(starts)
    columns = torch.tensor(starts, device=device)[:, None] + torch.arange(width, device=device)
    cache.place(columns, seen)
    embeds = llm.embed(ids)
    mask = None
    if ids.numel() > 1:
        hidden = torch.arange(seen + width, device=device) > columns[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=embeds.dtype, device=device)
        mask.masked_fill_(hidden, torch.finfo(embeds.dtype).min)
    positions = columns.clamp(max=context_of(llm) - 1)  # padding may reach beyond the context
    return llm.hidden_states(embeds, mask, positions, cache, speech), [0] * len(rows)


def _choices(llm, states: torch.Tensor, firsts: list[int], forbidden: list[list[list[int]]]) -> list[Choices]:
    """Greedy choices behind column `firsts` (B,) of the states (B, L, D), and behind each verified token.

    `forbidden` has for each of these places the tokens that must not be chosen.
    """
    places = [(i, first + n) for i, (first, row) in enumerate(zip(firsts, forbidden, strict=True))
              for n in range(len(row))]  # fmt: skip
    rows, columns = torch.tensor(places, device=states.device).T
    logits = llm.logits(states[rows, columns])
    allowed = logits
    if barred := [(n, token) for n, tokens in enumerate(chain(*forbidden)) for token in tokens]:
        allowed = logits.index_put(torch.tensor(barred, device=logits.device).T.unbind(), logits.new_tensor(-torch.inf))
    best = allowed.argmax(-1)
    chosen = iter(zip(best.tolist(), log_prob(logits, best).tolist(), strict=True))
    choices = [[next(chosen) for _ in row] for row in forbidden]
    return [([token for token, _ in row], [value for _, value in row]) for row in choices]
