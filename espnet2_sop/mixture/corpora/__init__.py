"""Corpora of other projects read as mixture manifests, one module per format."""
