"""Training: from history to one immutable artifact."""
