"""How events travel from the journal to the counters."""
