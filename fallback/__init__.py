"""The ladder: how a decision steps down instead of going down."""
