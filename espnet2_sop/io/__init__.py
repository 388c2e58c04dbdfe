"""Files, JSON shapes, locks, provenance, the registry of parts, pretrained models: used by every other package."""
