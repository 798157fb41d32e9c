"""Features: specified once, packed, read, applied and built the same way everywhere."""
