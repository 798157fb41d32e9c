"""Regions: the topology, and the world of one machine that runs them."""
