"""Serialized text, its talkers and its tokens."""
