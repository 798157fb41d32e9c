"""What one batch of events brings to the joiner, and how it is joined within one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from app.record.attempt import Attempt, attempt_of
from app.record.attempt_index import Change
from app.record.effect import encode_effect
from app.record.follow_up import decode_follow_up
from app.record.frames import Kind, Record
from app.record.joining import Said, join, said_of
from app.record.waiting import Waiting
from app.streams.interface import START, Position, position_of, writer_of

__all__ = ["Batch", "Find", "join_batch", "taken"]

# tenant, attempt id, decision id -> the attempt, or None where there is none. Raises OSError where
# it cannot tell now: the follow-up then waits once more.
Find = Callable[[str, str | None, str | None], Attempt | None]

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Batch:
    """What a batch brings, and what becomes of it.

    Attributes:
        now_ms: ms since the epoch.
        attempts: decided.
        said: outcomes and labels, to be joined.
        over: those that waited in vain.
        unjoined: those that nothing was found for.
        effects: to be written, as journal payloads.
        counts: by name of the counter and its labels.
    """

    now_ms: int
    attempts: list[Attempt] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    over: list[Said] = field(default_factory=list)
    unjoined: list[Said] = field(default_factory=list)
    effects: list[bytes] = field(default_factory=list)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)


def taken(
    records: Sequence[Record], positions: dict[str, Position], *, region: int, now_ms: int
) -> Batch:
    """Read the records that come for the first time.

    Args:
        records: as the stream delivers them, perhaps twice.
        positions: of what came before; moved on.
        region: number of the one whose follow-ups are joined here.
        now_ms: ms since the epoch.
    """
    batch = Batch(now_ms=now_ms)
    for record in records:
        writer, position = writer_of(record.id), position_of(record.id)
        if position <= positions.get(writer, START):
            continue
        positions[writer] = position
        try:
            _read(record, region, batch)
        except (msgspec.MsgspecError, ValueError):  # it would come again for ever
            batch.counts["joiner_unreadable",] += 1
            log.exception("%s is passed over", record.id)
    return batch


def join_batch(
    batch: Batch, change: Change, waiting: Waiting, *, find: Find, before_ms: int
) -> None:
    """Join a batch, and what waited for it.

    Args:
        batch: its effects and counts are filled in.
        change: the transaction.
        waiting: what waits, changed alike.
        find: looks up an attempt that the index has not.
        before_ms: attempts received before it are too old, ms since the epoch.
    """
    joins = _Joins(batch, change, waiting)
    for attempt in batch.attempts:
        joins.add(attempt)
    for said in batch.over:
        joins.look_up(said, find, before_ms)
    for said in sorted(batch.said, key=lambda said: said.receipt):
        joins.join(said)


def _read(record: Record, region: int, batch: Batch) -> None:
    if record.kind is Kind.DECISION:
        batch.attempts.append(attempt_of(record.payload))
    elif record.kind is Kind.OUTCOME or record.kind is Kind.LABEL:
        follow_up = decode_follow_up(record.payload)
        if follow_up.home == region:
            said = said_of(record.id, record.kind, follow_up, since_ms=batch.now_ms)
            batch.said.append(said)
        else:
            batch.counts["joiner_elsewhere",] += 1


class _Joins:
    """The steps of a batch."""

    def __init__(self, batch: Batch, change: Change, waiting: Waiting) -> None:
        self._batch, self._change, self._waiting = batch, change, waiting

    def add(self, attempt: Attempt) -> None:
        """Remember an attempt, and go on with what waited for it."""
        self._change.add(attempt)
        for said in self._waiting.for_attempt(attempt):
            self._change.waited(_key(said))
            self._batch.said.append(said)

    def look_up(self, said: Said, find: Find, before_ms: int) -> None:
        """Go on with what waited in vain, if its attempt came at last or is found elsewhere."""
        self._change.waited(_key(said))
        if self._change.find(said.tenant, said.attempt_id, said.decision) is not None:
            self._batch.said.append(said)
            return
        try:
            found = find(said.tenant, said.attempt_id, said.decision_id)
        except OSError as error:
            log.warning("attempts cannot be looked up now: %s", error)
            self._wait(replace(said, since_ms=self._batch.now_ms))
            return
        # A too old one would be forgotten at once, and its next label counted as if it were first.
        if found is None or found.received_ms < before_ms:
            self._batch.unjoined.append(said)
            self._batch.counts["joiner_unjoined", said.what] += 1
            return
        self._batch.said.append(said)
        self.add(found)

    def join(self, said: Said) -> None:
        """Join one with its attempt, or let it wait."""
        attempt = self._change.find(said.tenant, said.attempt_id, said.decision)
        if attempt is None:
            self._wait(said)
            return
        joined, effects = join(attempt, said)
        if joined is not attempt:
            self._change.put(joined)
        self._batch.effects += map(encode_effect, effects)
        self._batch.counts["joiner_joined", said.what] += 1

    def _wait(self, said: Said) -> None:
        self._waiting.add(said)
        self._change.wait(_key(said), msgspec.msgpack.encode(said))


def _key(said: Said) -> bytes:
    """Of something that waits."""
    return msgspec.msgpack.encode(said.of)
