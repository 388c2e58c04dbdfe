"""Output of frozen parts, computed once for all mixtures of a set and read in training."""
