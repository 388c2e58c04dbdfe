"""Mixtures drawn by a rule from single utterances, rooms, noises and synthetic voices."""
