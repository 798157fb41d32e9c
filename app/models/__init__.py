"""Models: artifacts, scoring, training."""
