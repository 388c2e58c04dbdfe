"""Scores of multi-talker hypotheses: one function and one row in `metrics.METRICS` per metric."""
