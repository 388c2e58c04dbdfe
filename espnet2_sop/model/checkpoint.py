"""From a checkpoint to the weights of a model."""

from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load_file

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER
from espnet2_sop.model.llm.adapters import read_adapters
from espnet2_sop.model.llm.causal_lm import LLM_ADAPTERS
from espnet2_sop.model.sop_model import SOPModel

ADAPTERS = {"llm": LLM_ADAPTERS, "encoder": (HEADS_ADAPTER,)}  # adapters that are parts of `model_conf.trainable`


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Reads a state dict from ESPnet's `.pth`, or from `.safetensors` and the folder `adapters` beside it.

    No code in the file is run.

    Raises:
        UserError: The file is missing or broken.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint; run the earlier stage first")
    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path) | read_adapters(Path(path).parent / "adapters")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = type(error).__name__
        raise UserError(f"{path}: not a readable checkpoint ({reason}); train its stage again") from None


def check_checkpoint(path: str, model: SOPModel) -> None:
    """Refuses a checkpoint to start from whose keys or shapes are not those of the model.

    Parts may differ that this stage trains and the earlier stage did not (by the config.yaml beside the checkpoint),
    such as heads over another vocabulary. Of these parts, ESPnet loads the tensors whose name and shape fit; the others
    stay as they are built.

    Args:
        path: Checkpoint, as `read_state` reads it.
        model: The model that starts from it.

    Raises:
        UserError: Names what is missing, unexpected or of another shape.
    """
    config = Path(path).parent / "config.yaml"
    earlier = read_yaml(config).get("model_conf", {}).get("trainable", []) if config.is_file() else model.trainable
    compare_keys(path, read_state(path), model, set(model.trainable) - set(earlier))


def load_checkpoint(path: str | Path, model: torch.nn.Module) -> None:
    """Loads a checkpoint into the model; every key must match.

    Args:
        path: Checkpoint, as `read_state` reads it.
        model: Built from the configuration of the same run.

    Raises:
        UserError: The file is missing or broken, or belongs to another model.
    """
    state = read_state(path)
    compare_keys(path, state, model)
    model.load_state_dict(state)


def compare_keys(path: str | Path, state: dict, model: torch.nn.Module, new_parts: Collection[str] = ()) -> None:
    """Compares keys and shapes of a checkpoint with those of a model.

    Args:
        path: Checkpoint, for messages.
        state: What was read from it.
        model: To be filled from it.
        new_parts: Parts, as in `model_conf.trainable`, that are not compared.

    Raises:
        UserError: Names a key that is missing, of another shape, or not in the model.
    """
    state, own = (
        {key: value for key, value in every.items() if part_of(key) not in new_parts}
        for every in (state, model.state_dict())
    )
    other = [f"{k} has shape {tuple(state[k].shape)}, here {tuple(v.shape)}" for k, v in own.items()
             if k in state and state[k].shape != v.shape]  # fmt: skip
    missing, surplus = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    for what, keys in (("of another shape", other), ("missing", missing), ("not in this model", surplus)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise UserError(f"{path}: checkpoint of another model; {what}: {keys[0]}{more}")


def part_of(key: str) -> str:
    """The part of a checkpoint's key, as in `model_conf.trainable`; `llm` for keys of the LLM outside its adapters."""
    part = key.partition(".")[0]
    return next((name for name in ADAPTERS.get(part, ()) if f".{name}." in key), part)
