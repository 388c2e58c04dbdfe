"""Trained models as packages: packed, found, opened, described."""
