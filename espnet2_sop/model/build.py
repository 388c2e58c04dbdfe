"""From a configuration to a model."""

import argparse
import inspect
from collections.abc import Callable, Collection
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from espnet2.train.class_choices import ClassChoices
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.json_shapes import misfit
from espnet2_sop.io.registry import find_part
from espnet2_sop.model.ctc.serialized import SerializedCTC
from espnet2_sop.model.encoder.abs_encoder import AbsEncoder
from espnet2_sop.model.encoder.choices import ENCODERS, encoder_class
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.front_end import FRONT_KEYS, FrontEnd
from espnet2_sop.model.llm.causal_lm import LLM_ADAPTERS, AdaptedCausalLM
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


def build_model(args: argparse.Namespace) -> SOPModel:
    """Assembles the model that a configuration describes.

    Args:
        args: Values of the task's options (or of a run's config.yaml).

    Returns:
        The model, with the weights of the pretrained parts; what is not pretrained is random.

    Raises:
        UserError: A key is wrong or missing, a pretrained part cannot be loaded.
    """
    for name in ("encoder", "downsampler", "separator", "llm", "prompt", "model"):
        require_keys(f"{name}_conf", getattr(args, f"{name}_conf"))
    tokenizer = build_tokenizer(args.llm_conf)
    vocabulary = load_vocabulary(args.ctc_vocab, tokenizer)
    front_end = build_front_end(args, vocabulary)
    conf = {k: v for k, v in args.llm_conf.items() if k not in ("speaker_change", "tokenizer")}
    conf = {"adapters": {name: {} for name in LLM_ADAPTERS}, **conf}
    llm = construct("llm_conf", llm_class(args), conf, sc_id=tokenizer.sc_id)
    frames = front_end.encoder if llm.reads_encoder else front_end.downsampler
    return construct(
        "model_conf",
        SOPModel,
        args.model_conf,
        FRONT_KEYS,
        front_end=front_end,
        projector=llm.new_projector(frames.output_size),
        llm=llm,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        prompt=construct("prompt_conf", PromptBuilder, args.prompt_conf, tokenizer=tokenizer),
    )


def llm_class(args: argparse.Namespace) -> type[AdaptedCausalLM]:
    """The class of the LLM that a configuration names; an old one does not."""
    return llm_choices.get_class(getattr(args, "llm", llm_choices.default))


def build_front_end(args: argparse.Namespace, vocabulary: TalkerVocabulary) -> FrontEnd:
    """Assembles what comes before the LLM.

    Args:
        args: Values of the task's options.
        vocabulary: Of the CTC heads.

    Returns:
        The front end, with no part chosen to be trained yet.

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
    return construct(
        "model_conf",
        FrontEnd,
        {key: args.model_conf[key] for key in FRONT_KEYS if key in args.model_conf},
        encoder=encoder,
        downsampler=downsampler,
        separator=separator,
        ctc=ctc,
        llm_reads_encoder=reads_encoder,
    )


def construct(option: str, build: Callable, conf: dict, elsewhere: Collection[str] = (), **parts: Any) -> Any:
    """Calls `build` with the parts and the user's keys.

    Args:
        option: Where the keys are from, for messages.
        build: A class or function; its annotations are the types of the keys.
        conf: The user's keys.
        elsewhere: Keys that are allowed here and that something else has read.
        **parts: Arguments that the user does not choose.

    Returns:
        What `build` returns.

    Raises:
        UserError: A key is not known or missing, or a value is of the wrong type or is refused.
    """
    require_keys(option, conf)
    conf = {key: value for key, value in conf.items() if key not in elsewhere}
    signature = inspect.signature(build).parameters
    for name in parts:
        if name not in signature:
            raise UserError(f"{option}: {build.__name__} takes no {name!r}, which every class of its kind must take")
    known = [name for name in signature if name not in parts]
    for key in conf:
        if key not in known:
            raise UserError(f"{option}: no key {key!r}; known: {', '.join([*known, *elsewhere])}")
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
    """Refuses what is no dictionary of options.

    Args:
        option: Where it is from, for messages.
        conf: What the user wrote.

    Raises:
        UserError: It is no dictionary with strings as keys, or `pretrained` or `revision` is no string.
    """
    if not isinstance(conf, dict) or not all(isinstance(key, str) for key in conf):
        raise UserError(f"{option}: {conf!r} are no keys and values")
    for key in ("pretrained", "revision"):
        if not isinstance(conf.get(key, ""), str):
            raise UserError(f"{option}.{key}: {conf[key]!r} is not of type str")


def shape_of(annotation: Any) -> Any:
    """The shape, as in `json_shapes.misfit`, of a type such as `int`, `list[str]` or `float | None`."""
    if get_origin(annotation) is UnionType:
        return tuple(map(shape_of, get_args(annotation)))
    if get_origin(annotation) is list:
        return [shape_of(*get_args(annotation))]
    return None if annotation is NoneType else get_origin(annotation) or annotation
