"""The LLM with its adapters, its tokenizer and its input; decoding."""
