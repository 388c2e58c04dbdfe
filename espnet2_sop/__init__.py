"""Serialized Output Prompting for LLM-based multi-talker ASR (arXiv 2509.04488)."""

__version__ = "0.1.0"
__all__ = ["Speech2Text", "Talker"]


def __getattr__(name: str):
    """Imports what needs torch only when it is asked for."""
    if name in __all__:
        from espnet2_sop import speech2text

        return getattr(speech2text, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
