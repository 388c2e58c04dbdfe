"""Transcripts of audio files: which files, in which format, resumed after an interruption."""
