"""From a configuration to a model, and from a checkpoint to its weights."""

import argparse
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import torch
from espnet2.train.class_choices import ClassChoices
from espnet2.utils.nested_dict_action import NestedDictAction
from safetensors.torch import load_file

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.io.json_shapes import misfit
from espnet2_sop.io.registry import find_part
from espnet2_sop.model.ctc.serialized import SerializedCTC
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER, AbsEncoder
from espnet2_sop.model.encoder.choices import ENCODERS, encoder_class
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.front_end import FRONT_MODULES, FrontEnd
from espnet2_sop.model.llm.adapters import read_adapters
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM
from espnet2_sop.model.llm.prompt import PromptBuilder
from espnet2_sop.model.llm.whisper import WhisperDecoder
from espnet2_sop.model.separator.abs_separator import AbsSeparator
from espnet2_sop.model.separator.conv import ConvSeparator
from espnet2_sop.model.separator.lstm import LSTMSeparator
from espnet2_sop.model.sop_model import SOPModel
from espnet2_sop.text.llm_tokenizer import build_tokenizer
from espnet2_sop.text.vocabulary import TalkerVocabulary, load_vocabulary


class PartChoices(ClassChoices):
    """ESPnet's table of choices, and any class of the same base as `module:Class`."""

    def get_class(self, name: str) -> type:
        """The class that an option names.

        Raises:
            UserError: There is none.
        """
        return find_part(self.name, name, self.classes, self.base_type)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds `--NAME` and `--NAME_conf` to a parser."""
        text = f"{', '.join(self.classes)}, or module:Class of your own (docs/extending.md)"
        parser.add_argument(f"--{self.name}", default=self.default, help=text)
        parser.add_argument(f"--{self.name}_conf", action=NestedDictAction, default={}, help=f"keys of the {self.name}")


encoder_choices = PartChoices("encoder", ENCODERS, AbsEncoder, "huggingface")
separator_choices = PartChoices("separator", {"conv": ConvSeparator, "lstm": LSTMSeparator}, AbsSeparator, "lstm")
llm_choices = PartChoices("llm", {"adapted": AdaptedCausalLM, "whisper": WhisperDecoder}, AdaptedCausalLM, "adapted")
ADAPTERS = {"llm": ("sot", "sop"), "encoder": (HEADS_ADAPTER,)}  # those that are parts by themselves


def build_model(args: argparse.Namespace) -> SOPModel:
    """Assembles the model that a configuration describes.

    Args:
        args: Values of the task's options (or of a run's config.yaml).

    Raises:
        UserError: A key is wrong or missing, a pretrained part cannot be loaded.
    """
    for name in ("encoder", "downsampler", "separator", "llm", "prompt", "model"):
        require_keys(f"{name}_conf", getattr(args, f"{name}_conf"))
    tokenizer = build_tokenizer(args.llm_conf)
    vocabulary = load_vocabulary(args.ctc_vocab, tokenizer)
    front = build_front(args, vocabulary)
    conf = {k: v for k, v in args.llm_conf.items() if k not in ("speaker_change", "tokenizer")}
    conf = {"adapters": {name: {} for name in ADAPTERS["llm"]}, **conf}
    llm = construct("llm_conf", llm_class(args), conf, sc_id=tokenizer.sc_id)
    return construct(
        "model_conf",
        SOPModel,
        args.model_conf,
        **{name: getattr(front, name) for name in FRONT_MODULES},
        projector=llm.new_projector((front.encoder if llm.reads_encoder else front.downsampler).output_size),
        llm=llm,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        prompt=construct("prompt_conf", PromptBuilder, args.prompt_conf, tokenizer=tokenizer),
    )


def llm_class(args: argparse.Namespace) -> type[AdaptedCausalLM]:
    """The class of the LLM that a configuration names; an old one does not."""
    return llm_choices.get_class(getattr(args, "llm", llm_choices.default))


def build_front(args: argparse.Namespace, vocabulary: TalkerVocabulary) -> FrontEnd:
    """Assembles what comes before the LLM.

    Args:
        args: Values of the task's options.
        vocabulary: Of the CTC heads.

    Raises:
        UserError: A key is wrong or missing, the encoder cannot be loaded.
    """
    encoder = construct("encoder_conf", encoder_class(args.encoder, args.encoder_conf), args.encoder_conf)
    downsampler = construct("downsampler_conf", ConvDownsampler, args.downsampler_conf, input_size=encoder.output_size)
    tap = args.model_conf.get("tap", 2)
    if type(tap) is not int or not 0 <= tap <= len(downsampler.convs):
        raise UserError(f"model_conf.tap: {tap} is not between 0 (encoder) and {len(downsampler.convs)} (last block)")
    separator = construct(
        "separator_conf",
        separator_choices.get_class(args.separator),
        args.separator_conf,
        input_size=downsampler.output_size if tap else encoder.output_size,
        num_talkers=args.num_talkers,
    )
    ctc = SerializedCTC(separator.output_size, vocabulary.vocab_size, args.num_talkers)
    reads_encoder = llm_class(args).reads_encoder
    if encoder.heads_adapter and not (tap and reads_encoder):
        raise UserError("encoder_conf.heads_lora: needs llm: whisper, which reads the encoder, and model_conf.tap > 0")
    return FrontEnd(encoder, downsampler, separator, ctc, tap, llm_reads_encoder=reads_encoder)


def construct(option: str, build: Callable, conf: dict, **parts):
    """Calls `build` with the parts and the user's keys; a wrong or missing key, or a wrong value, is one line."""
    require_keys(option, conf)
    signature = inspect.signature(build).parameters
    for name in parts:
        if name not in signature:
            raise UserError(f"{option}: {build.__name__} takes no {name!r}, which every class of its kind must take")
    known = [name for name in signature if name not in parts]
    for key in conf:
        if key not in known:
            raise UserError(f"{option}: no key {key!r}; known: {', '.join(known)}")
    for key in known:
        if key not in conf and signature[key].default is inspect.Parameter.empty:
            raise UserError(f"{option}.{key} is missing")
    for key, value in conf.items():
        if (kind := signature[key].annotation) is not inspect.Parameter.empty and misfit(value, shape_of(kind)):
            raise UserError(f"{option}.{key}: {value!r} is not of type {getattr(kind, '__name__', kind)}")
    try:
        return build(**conf, **parts)
    except (ValueError, RuntimeError) as error:  # a size or a share that torch refuses
        raise UserError(f"{option}: {str(error).strip().partition(chr(10))[0]}") from error


def require_keys(option: str, conf: object) -> None:
    """Refuses what is no dictionary of options."""
    if not isinstance(conf, dict) or not all(isinstance(key, str) for key in conf):
        raise UserError(f"{option}: {conf!r} are no keys and values")
    for key in ("pretrained", "revision"):
        if not isinstance(conf.get(key, ""), str):
            raise UserError(f"{option}.{key}: {conf[key]!r} is not of type str")


def shape_of(annotation: Any) -> Any:
    """The shape (`jsons.misfit`) of the values of a type such as `int`, `list[str]` or `float | None`."""
    if get_origin(annotation) is UnionType:
        return tuple(map(shape_of, get_args(annotation)))
    if get_origin(annotation) is list:
        return [shape_of(*get_args(annotation))]
    return None if annotation is NoneType else get_origin(annotation) or annotation


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Reads a state dict from ESPnet's `.pth`, or from `.safetensors` and the adapters beside it.

    No code in the file is run, whatever the environment says; ESPnet's own loader would ask, and then run it.

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

    Parts that this stage trains and the checkpoint's stage, by the config.yaml beside it, did not may differ, such as
    heads over another vocabulary: of these, tensors whose name and shape fit are taken over, the others start anew.

    Raises:
        UserError: Names what is missing, unexpected or of another shape.
    """
    config = Path(path).parent / "config.yaml"
    earlier = read_yaml(config).get("model_conf", {}).get("trainable", []) if config.is_file() else model.trainable
    compare_keys(path, read_state(path), model, set(model.trainable) - set(earlier))


def load_checkpoint(path: str | Path, model: torch.nn.Module) -> None:
    """Loads a checkpoint into the model; every key must match.

    Args:
        path: ESPnet's `*.pth` file of a state dict.
        model: Built from the configuration of the same run.

    Raises:
        UserError: The file is missing or broken, or belongs to another model.
    """
    state = read_state(path)
    compare_keys(path, state, model)
    model.load_state_dict(state)


def compare_keys(path: str | Path, state: dict, model: torch.nn.Module, new_parts: Collection[str] = ()) -> None:
    """Raises a UserError if keys or shapes of a checkpoint are not those of the model, but for those of `new_parts`."""
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
    """The part, as `model_conf.trainable` names it, of a checkpoint's key; `llm` for what is in no adapter."""
    part = key.partition(".")[0]
    return next((name for name in ADAPTERS.get(part, ()) if f".{name}." in key), part)
