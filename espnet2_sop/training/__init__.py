"""Training with ESPnet's trainer: tasks, batches, schedules, frame cache, and ESPnet's SOT baseline."""
