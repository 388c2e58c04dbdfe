"""LoRA adapters in the files of peft, so that other programs can load them."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from espnet2_sop.io.files import open_text
from espnet2_sop.io.pretrained import load_pretrained
from espnet2_sop.model.llm.causal_lm import adapter_config
from espnet2_sop.text.llm_tokenizer import OPTION

PREFIX = "llm.peft."  # of adapters in the state dict of SOPModel
ROWS = ("llm.sc_input", "llm.sc_output")  # the trained rows of `<sc>`; peft has them as trainable tokens of `sot`
ROW_KEY = "base_model.model.{}.token_adapter.trainable_tokens_delta"


def save_adapters(
    folder: Path, state: dict[str, torch.Tensor], llm_conf: dict, named: dict, sc_id: int
) -> dict[str, torch.Tensor]:
    """Writes `adapter_config.json` and `adapter_model.safetensors` of each adapter.

    `sot` has the trained rows of `<sc>`, so that nothing that was trained in the LLM is elsewhere.

    Args:
        folder: Gets a folder for each adapter.
        state: State dict of a SOPModel.
        llm_conf: Names the LLM, with its `adapters`.
        named: The same, as those who get the files shall see it.
        sc_id: Token of `<sc>`.

    Returns:
        What of the state dict was not written.
    """
    tables = dict(zip([row for row in ROWS if row in state], embedding_names(llm_conf), strict=False))
    rest = dict(state)
    for name in adapter_names(state):
        own = {}
        for key in [key for key in rest if key.startswith(PREFIX) and f".{name}." in key]:
            own[key.removeprefix(PREFIX).replace(f".{name}.", ".")] = rest.pop(key)
        config = adapter_config(name, llm_conf.get("adapters", {}).get(name, {}))
        if name == "sot":
            config.trainable_token_indices = {module: [sc_id] for module in tables.values()}
            own |= {ROW_KEY.format(module): rest.pop(row)[None] for row, module in tables.items()}
        if not isinstance(config.target_modules, str):  # a pattern, or "all-linear"
            config.target_modules = sorted(config.target_modules)  # a set: else every file is another one
        config.base_model_name_or_path, config.revision = named["pretrained"], named.get("revision")
        config.inference_mode = True
        config.save_pretrained(folder / name)
        own = {key: value.contiguous() for key, value in own.items()}
        save_file(own, folder / name / "adapter_model.safetensors", {"format": "pt"})
    return rest


def read_adapters(folder: Path) -> dict[str, torch.Tensor]:
    """The inverse of `save_adapters`: entries of the state dict of a SOPModel; none if there is no folder."""
    state = {}
    for path in sorted(folder.glob("*/adapter_model.safetensors")):
        with open_text(path.with_name("adapter_config.json")) as f:
            tables = json.load(f).get("trainable_token_indices") or {}
        rows = {ROW_KEY.format(module): row for module, row in zip(tables, ROWS, strict=False)}
        for key, value in load_file(path).items():
            if key in rows:
                state[rows[key]] = value[0]
            else:
                state[PREFIX + re.sub(r"(\.lora_\w+)\.", rf"\1.{path.parent.name}.", key)] = value
    return state


def adapter_names(state: dict[str, torch.Tensor]) -> list[str]:
    """The LLM's adapters in the state dict of a SOPModel; that of the encoder is none of them."""
    own = [key for key in state if key.startswith(PREFIX)]
    return sorted({match[1] for key in own if (match := re.search(r"\.lora_\w+\.(\w+)\.", key))})


def embedding_names(llm_conf: dict) -> list[str]:
    """Modules of the LLM that hold the rows of its tokens: input and output. No weights are loaded."""
    revision = llm_conf.get("revision", "main")
    settings = load_pretrained(AutoConfig.from_pretrained, llm_conf["pretrained"], OPTION, revision=revision)
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(settings, trust_remote_code=False)
    names = {id(module): name for name, module in llm.named_modules()}
    return [names[id(module)] for module in (llm.get_input_embeddings(), llm.get_output_embeddings())]
