"""The model of the paper: encoder, downsampler, Separator, serialized CTC, projector and LLM."""
