"""The report of an experiment: results, curves and examples as one HTML file, and its figures as files."""
