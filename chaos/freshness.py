"""Freshness: how long after an event was journaled its counters hold it, the applier's way.

Events go into a journal of the region, at a steady rate, as its scorers' do: shipper, stream and
applier cannot tell them apart. An event counts as seen when the store's marker, which changes in
the same transaction as the counters, has passed its position.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import redis

from app.features.applier import APPLIED_KEY, Applied
from app.fresh_id import fresh_id
from app.ids import DecisionIds, EventId
from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind
from app.record.journal import Journal, open_journal
from app.record.signing import Signer
from app.streams.interface import START, writer_of

__all__ = ["Freshness", "measure_freshness"]

TENANT = "drill"
POLL_S = 0.002
DRAIN_S = 10.0
BOUND_MS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a run found.

    Attributes:
        events: that were written.
        rate: events a second, as written.
        seen: of them, within the time.
        age_ms: quantiles of the time from the journal to the counters, ms, by name.
    """

    events: int
    rate: float
    seen: int
    age_ms: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every event was seen, 99 % of them within the bound."""
        return self.seen == self.events and self.age_ms["p99"] < BOUND_MS


def measure_freshness(
    stores: list[redis.Redis],
    folder: Path,
    *,
    region: int,
    signer: Signer,
    rate: float,
    seconds: float,
    report: Callable[[float], None] = lambda _share: None,
) -> Freshness:
    """Write events and see when they are counted.

    Args:
        stores: of the region's shards.
        folder: of the region's journals.
        region: its number.
        signer: of the region's journals.
        rate: events a second.
        seconds: how long.
        report: told the share done.

    Raises:
        JournalUnavailable: the journal takes nothing.
    """
    journal = open_journal(folder, region=region, signer=signer)
    ids = DecisionIds(region=region, writer=journal.writer)
    watch = _Watch(stores, journal.append(Kind.DECISION, encode(_event(ids))))
    try:
        written_s = _write(journal, ids, rate=rate, seconds=seconds, report=report)
        watch.wait_for(len(written_s))
    finally:
        watch.stop()
        journal.close()
    ages = [
        (watch.seen_s[seq] - at_s) * 1_000 for seq, at_s in written_s.items() if seq in watch.seen_s
    ]
    names = {"p50": 50, "p90": 90, "p99": 99, "p99_9": 99.9, "max": 100}
    values = np.percentile(ages, list(names.values())) if ages else [float("nan")] * len(names)
    first, last = min(written_s.values()), max(written_s.values())
    return Freshness(
        events=len(written_s),
        rate=round(len(written_s) / (last - first), 1),
        seen=len(ages),
        age_ms={name: round(float(value), 1) for name, value in zip(names, values, strict=True)},
    )


def _write(
    journal: Journal,
    ids: DecisionIds,
    *,
    rate: float,
    seconds: float,
    report: Callable[[float], None],
) -> dict[int, float]:
    """Append events in time; when each was appended, monotonic, by its seq."""
    written_s: dict[int, float] = {}
    start_s = time.monotonic()
    total = int(rate * seconds)
    for number in range(total):
        due_s = start_s + number / rate
        time.sleep(max(0.0, due_s - time.monotonic()))
        seq = journal.append(Kind.DECISION, encode(_event(ids))).seq
        written_s[seq] = time.monotonic()
        if number % 100 == 0:
            report(number / total)
    return written_s


def _event(ids: DecisionIds) -> DecisionRecord:
    now_ms = time.time_ns() // 1_000_000
    return DecisionRecord(
        tenant=TENANT,
        decision_id=ids.new(now_ms),
        attempt_id=fresh_id("att"),
        received_ms=now_ms,
        as_of_ms=now_ms,
        request=b"{}",
        amount_ref=1_000,
        entities={
            "card": f"tok_{secrets.token_hex(8)}",
            "merchant": "mer_drill",
            "device": f"dev_{secrets.token_hex(8)}",
            "ip": f"ip_{secrets.token_hex(8)}",
        },
        bits={"card": 1, "device": 1},
        merchant={"tier": "unknown"},
        action="approve",
        ranking=0.0,
        rung="tier_default",
        not_higher={},
        reasons=[],
        versions={},
        deadline_ms=80,
        took_ms=1.0,
    )


class _Watch:
    """Follows the stores' markers in a thread, and keeps when each event was passed by all."""

    def __init__(self, stores: list[redis.Redis], before: EventId) -> None:
        """Follow the writer of an event, from the one after it."""
        self.seen_s: dict[int, float] = {}
        self._stores, self._before = stores, before
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, events: int) -> None:
        """Until all were seen, or it takes too long."""
        until_s = time.monotonic() + DRAIN_S
        while len(self.seen_s) < events and time.monotonic() < until_s:
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        passed = self._before.seq
        while not self._stopping.is_set():
            found = min(self._position(store) for store in self._stores)
            now_s = time.monotonic()
            for seq in range(passed + 1, found + 1):
                self.seen_s[seq] = now_s
            passed = max(passed, found)
            self._stopping.wait(POLL_S)

    def _position(self, store: redis.Redis) -> int:
        raw = store.get(APPLIED_KEY)
        if not isinstance(raw, bytes):
            return 0
        positions = msgspec.msgpack.decode(raw, type=Applied).positions
        epoch, seq = positions.get(writer_of(self._before), START)
        return seq if epoch == self._before.epoch else 0
