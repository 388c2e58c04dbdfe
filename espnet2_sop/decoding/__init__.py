"""From a trained model to hypotheses: data directories, recordings of any length, and the Python API."""
