"""What frozen parts of a training give for its mixtures, computed once and kept."""
