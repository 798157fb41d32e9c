"""The four rungs."""
