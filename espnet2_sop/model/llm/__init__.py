"""The LLM with its adapters and its input."""
