"""Mixtures of talkers: manifests, rendering, simulation, data directories and what the trainer reads."""

SAMPLE_RATE = 16000
"""Samples per second of all audio in the package."""
