"""What the counters and the model cost a process that does nothing else with them.

Reads a `Task` as JSON from standard input and writes a `Parts` to standard output:
`python -m chaos.bench.floor_worker < task.json`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import uvloop

from app.features.counter_store import APPLIED_KEY, shard_of
from app.features.shard import ShardClient
from app.models.artifact import GOLDEN, Golden, load_artifact, objects
from app.publish import current
from app.settings import Shard

__all__ = ["Parts", "Task"]

TIMEOUT_MS = 1_000.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Attributes:
        sources: ports of each source's shards.
        password: of the datastores.
        names: keys that a decision reads, of some decisions.
        models: folder where models are published.
        batch: decisions that are read, and rows that are evaluated, at once.
        seconds: of each part.
    """

    sources: list[list[int]]
    password: str
    names: list[list[str]]
    models: str
    batch: int
    seconds: float


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """CPU of the client, a decision.

    Attributes:
        round_trip_us: one read of every source.
        evaluation_us: one evaluation of the full model, conversion of the row included.
    """

    round_trip_us: float
    evaluation_us: float


async def _round_trip_us(task: Task) -> float:
    sources = [
        [
            ShardClient(
                Shard("127.0.0.1", port),
                password=task.password,
                timeout_ms=TIMEOUT_MS,
                region=f"source-{number}",
            )
            for port in ports
        ]
        for number, ports in enumerate(task.sources)
    ]
    batches = [
        [(client, part) for shards in sources for client, part in _by_shard(shards, names)]
        for names in _batches(task.names, task.batch)
    ]
    for names in batches:  # connected, and the server's memory warm
        await asyncio.gather(*(client.submit("MGET", APPLIED_KEY, *part) for client, part in names))
    done, start_s, until_s = 0, time.process_time(), time.perf_counter() + task.seconds
    while time.perf_counter() < until_s:
        calls = batches[done % len(batches)]
        await asyncio.gather(*(client.submit("MGET", APPLIED_KEY, *part) for client, part in calls))
        done += 1
    used_s = time.process_time() - start_s
    for shards in sources:
        for client in shards:
            await client.close()
    return used_s / (done * task.batch) * 1e6


def _by_shard(
    shards: Sequence[ShardClient], names: Sequence[str]
) -> list[tuple[ShardClient, list[str]]]:
    return [
        (client, [name for name in names if shard_of(name, len(shards)) == at])
        for at, client in enumerate(shards)
    ]


def _batches(names: Sequence[Sequence[str]], batch: int) -> list[list[str]]:
    """The keys of so many decisions at a time, each key once."""
    whole = range(0, len(names) - batch + 1, batch)
    return [
        list(dict.fromkeys(name for one in names[at : at + batch] for name in one)) for at in whole
    ]


def _evaluation_us(task: Task) -> float:
    models = Path(task.models)
    version = current(models)
    model = load_artifact(models, version).full
    content = (models / "versions" / version / GOLDEN).read_bytes()
    golden = msgspec.msgpack.decode(content, type=dict[str, Golden])["full"]
    rows = np.frombuffer(golden.numbers, dtype="<f4").reshape(-1, len(model.facts.numbers))
    some = np.arange(task.batch) % len(rows)
    numbers = np.ascontiguousarray(rows[some])
    categories = objects([golden.categories[at] for at in some])
    model.raw(numbers, categories)
    done, start_s, until_s = 0, time.process_time(), time.perf_counter() + task.seconds
    while time.perf_counter() < until_s:
        model.raw(numbers, categories)
        done += 1
    return (time.process_time() - start_s) / (done * task.batch) * 1e6


def main() -> None:
    """Carry out the task on standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        round_trip_us = runner.run(_round_trip_us(task))
    parts = Parts(round_trip_us=round_trip_us, evaluation_us=_evaluation_us(task))
    sys.stdout.buffer.write(msgspec.json.encode(parts))


if __name__ == "__main__":
    main()
