"""The scorer and its data plane: from a payment attempt to a recorded decision."""
