"""Batched decoding with a key-value cache."""

import torch
from transformers import GenerationConfig

from espnet2_sop.llm.causal_lm import AdaptedCausalLM
from espnet2_sop.llm.prompt import LLMInput


@torch.inference_mode()
def generate(llm: AdaptedCausalLM, inputs: LLMInput, eos_id: int, max_new_tokens: int, num_beams: int = 1):
    """Writes the text of every row.

    Args:
        llm: The LLM with its adapters chosen.
        inputs: Left-padded prompts (PromptBuilder.build without targets).
        eos_id: End of sequence; it also fills rows that ended early.
        max_new_tokens: Longest output.
        num_beams: 1 is greedy.

    Returns:
        B lists of ids without the end of sequence.
    """
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        num_beams=num_beams,
        do_sample=False,
        eos_token_id=eos_id,
        pad_token_id=eos_id,
    )
    output = llm.base.generate(inputs_embeds=inputs.embeds, attention_mask=inputs.mask.long(), generation_config=config)
    return [ids[: ids.index(eos_id)] if eos_id in ids else ids for ids in output.tolist()]
