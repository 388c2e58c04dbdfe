"""Cache of the output of frozen parts: computed once for a fixed set of mixtures, read in every epoch."""
