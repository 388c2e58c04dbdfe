"""A local web page to speak to a trained model."""
