"""The composition root: the only place that constructs a scorer's clients, breakers and ladder.

| module | what |
|---|---|
| `shared` | settings, clocks, chance and telemetry, which every part is given |
| `followed` | what is followed on disk, and what of it is in force |
| `sources` | the counters of the regions, each shard behind a breaker |
| `rungs` | the ladder, and twins of its lower rungs for the background |
| `records` | what writes records: recorder, claims, intake |
| `scorer` | all of it put together |
| `lifespan` | what runs beside the requests, from start to stop |
"""
