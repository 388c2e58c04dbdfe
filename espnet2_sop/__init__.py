"""Serialized Output Prompting for LLM-based multi-talker ASR (arXiv 2509.04488).

`espnet2_sop.speech2text` uses a trained model, `espnet2_sop.task` and `espnet2_sop.model` train one,
`espnet2_sop.scoring` measures it; `espnet2_sop.parts` finds parts of your own.
"""

__version__ = "0.1.0"
LAZY = ("Speech2Text", "Talker")


def __getattr__(name: str):
    """Imports what needs torch only when it is asked for."""
    if name in LAZY:
        from espnet2_sop import speech2text

        return getattr(speech2text, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
