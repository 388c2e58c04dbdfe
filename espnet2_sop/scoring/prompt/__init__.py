"""Serialized output prompts: their quality, what the LLM makes of their words, and the onsets of their talkers."""
