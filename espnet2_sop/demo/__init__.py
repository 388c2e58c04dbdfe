"""A gradio page to try a trained model, on this machine or as a Hugging Face Space."""
