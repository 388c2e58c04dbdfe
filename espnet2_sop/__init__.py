"""Serialized Output Prompting for LLM-based multi-talker ASR (arXiv 2509.04488)."""

__version__ = "0.1.0"
