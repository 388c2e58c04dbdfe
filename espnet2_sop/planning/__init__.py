"""Parameters, memory and hours of trainings, computed before they run."""
