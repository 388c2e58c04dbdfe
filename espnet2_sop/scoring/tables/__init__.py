"""Scores as Markdown and CSV: of one set, and of all systems and sets of an experiment."""
