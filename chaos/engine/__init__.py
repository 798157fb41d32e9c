"""Drills as data: faults in the running service under load, counted and judged."""
