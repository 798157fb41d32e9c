"""The region's operations listener: processes push here, people and machines look here.

| module | what |
|---|---|
| `aggregator` | the last push of every process, and totals that never go back |
| `readiness` | what the scorers' pushes say of the region |
| `metrics` | both as Prometheus has them |
| `listener` | `/metrics`, `/readyz` and `/livez` over HTTP |
"""
