"""Serialized Output Prompting for LLM-based multi-talker ASR (arXiv 2509.04488).

What users import has its documented path here: `Speech2Text` and `Talker` use a trained model; `AbsEncoder`,
`AbsSeparator` and `AdaptedCausalLM` are the base classes of new parts; `METRICS` lists the word error rates;
`UserError` is raised for mistakes of the user.
"""

import importlib

__version__ = "0.1.0"

PUBLIC = {
    "Speech2Text": "decoding.speech2text",
    "Talker": "decoding.talker",
    "AbsEncoder": "model.encoder.abs_encoder",
    "AbsSeparator": "model.separator.abs_separator",
    "AdaptedCausalLM": "model.llm.causal_lm",
    "METRICS": "scoring.metrics",
    "UserError": "io.errors",
}
"""Public name to the module that defines it; imported on first use, because torch and transformers take seconds."""


def __getattr__(name: str):
    """Imports a public name when it is first used."""
    if name in PUBLIC:
        return getattr(importlib.import_module(f"espnet2_sop.{PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
