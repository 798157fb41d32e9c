"""Bytes and memory of a decision: over HTTP, in the journal, to and from the stores, kept in them.

A region with all its sources answers simulated attempts. What goes to a replica, and what is kept
of an attempt id, holds the answer for repeats, too, which the write side alone does not show.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import redis

from app.features.spec import Entity
from chaos.bench.region import BenchRegion
from chaos.bench.serving import rungs_of

__all__ = ["Sizes", "measure_sizes"]

ASKED = 50
CLAIM = "attempt"
SCAN = 1_000


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes, of a decision where nothing else is said.

    Attributes:
        measured_on: day.
        decisions: answered meanwhile.
        full: share of them that the full rung answered; other rungs read and keep less.
        sources: stores that were read.
        request_bytes: of the HTTP request.
        answer_bytes: of the HTTP answer.
        record_bytes: journaled, explanations included.
        replicated_bytes: what one replica of the region's own store is sent.
        store_bytes: between the stores and all who read or write them, both ways, all sources.
        claim_memory: bytes of memory for one attempt id and its answer.
        entity_memory: bytes of memory for one entity, by kind.
    """

    measured_on: date
    decisions: int
    full: float
    sources: int
    request_bytes: float
    answer_bytes: float
    record_bytes: float
    replicated_bytes: float
    store_bytes: float
    claim_memory: float
    entity_memory: dict[str, float]


def measure_sizes(region: BenchRegion, *, sources: int, seconds: float, connections: int) -> Sizes:
    """Send attempts for a while and see what that left behind.

    Args:
        region: that runs, every source a store of its own, and answers from the full rung.
        sources: how many.
        seconds: of sending, as fast as it answers.
        connections: that are sent on.

    Raises:
        OperatorError: nothing was answered.
    """
    stores = region.stores()
    journals = region.home / region.name / "journal"
    before, written = _traffic(stores), _bytes_below(journals)
    sent = region.serving.saturate(seconds, connections).sent
    decisions = len(sent.latency_ms)
    after, more = _traffic(stores), _bytes_below(journals)
    memory = _memory(stores[0])
    claims = memory.pop(CLAIM)
    return Sizes(
        measured_on=datetime.now(UTC).date(),
        decisions=decisions,
        full=rungs_of(sent).get("full", 0.0),
        sources=sources,
        request_bytes=_mean(len(request) for request in region.serving.requests),
        answer_bytes=_mean(_answer_bytes(region)),
        record_bytes=(more - written) / decisions,
        replicated_bytes=(after[0] - before[0]) / decisions,
        store_bytes=(after[1] - before[1]) / decisions,
        claim_memory=claims,
        entity_memory={entity: memory[entity] for entity in Entity if entity in memory},
    )


def _traffic(stores: Sequence[redis.Redis]) -> tuple[int, int]:
    """Bytes of the first store's stream of changes, and between all stores and their clients."""
    told = [store.info("all") for store in stores]
    keys = ("total_net_input_bytes", "total_net_output_bytes")
    return told[0]["master_repl_offset"], sum(one[key] for one in told for key in keys)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.journal"))


def _memory(store: redis.Redis) -> dict[str, float]:
    """Mean memory of a key by kind, with its part of the tables that hold all keys."""
    tables = store.memory_stats()["db.0"]
    shared = sum(tables.values()) / store.dbsize()
    found: dict[str, list[int]] = {}
    for key in store.scan_iter("*:*:*", count=SCAN):
        used = store.memory_usage(key, samples=0)
        if used is not None:  # else it went meanwhile
            found.setdefault(key.split(b":")[1].decode(), []).append(used)
    return {kind: _mean(used) + shared for kind, used in found.items()}


def _answer_bytes(region: BenchRegion) -> list[int]:
    """Lengths of whole answers; each is to an id of its own."""
    connection = http.client.HTTPConnection(region.serving.host, region.serving.port, timeout=5.0)
    found = []
    for attempt in region.attempts[:ASKED]:
        head, _, _ = region.serving.requests[0].partition(b"\r\n\r\n")
        fields = (line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
        headers = {name: value for name, value in fields if name != "Content-Length"}
        body = msgspec.json.encode({**attempt, "attempt_id": f"size-{os.urandom(8).hex()}"})
        connection.request("POST", "/v1/decisions", body, headers)
        answer = connection.getresponse()
        status = len(f"HTTP/1.1 {answer.status} {answer.reason}\r\n\r\n")
        lines = sum(len(f"{name}: {value}\r\n") for name, value in answer.getheaders())
        found.append(status + lines + len(answer.read()))
    connection.close()
    return found


def _mean(of: Iterable[float]) -> float:
    values = list(of)
    return sum(values) / len(values)
