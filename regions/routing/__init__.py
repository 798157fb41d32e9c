"""Which region a checkout is sent to: health checks, latency records, switches, weights."""
