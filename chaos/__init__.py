"""Faults on purpose: primitives and drills."""
