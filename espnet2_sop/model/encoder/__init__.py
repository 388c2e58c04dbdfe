"""Speech encoders and what brings their frames to the rate of the LLM."""
