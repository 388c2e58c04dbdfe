"""Recordings in, transcripts out: reading, cutting at pauses, subtitles and other formats."""
