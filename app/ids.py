"""Identities: of decisions and of events.

A decision id is a UUIDv7 behind a prefix, so that it sorts by time, is never numeric (a bare run
of digits may look like a card number) and says who can find the record:

    48 bits  milliseconds since the epoch        12 bits  counter within the writer
     8 bits  region number (topology)            16 bits  writer      38 bits  random

An event's identity is `(region, writer, writer_epoch, seq)`, given by the journal when the
record is written. Nothing that a stream adds (position, shard, sequence number) is part of it.
A region's hosts share no disk, so that each has a range of the writers by its number.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "DECISION_PREFIX",
    "HOSTS_MAX",
    "WRITERS_OF_HOST",
    "DecisionIds",
    "DecisionPlace",
    "EventId",
    "locate",
]

DECISION_PREFIX = "dec_"
RANDOM_BYTES = 5 * 256
WRITERS_OF_HOST = 256
# Of a region. The writers behind the last host's are no journal's: heartbeats', imports', nobody's.
HOSTS_MAX = 255


class EventId(NamedTuple):
    """Identity of one event, for ever.

    Attributes:
        region: region number of the topology, 0 to 255.
        writer: writer slot within the region, 0 to 65,535.
        epoch: how often that slot was opened; grows by one with each opening.
        seq: position within the epoch, from 1 without gaps.
    """

    region: int
    writer: int
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class DecisionPlace:
    """What a decision id says of where its record is."""

    region: int
    writer: int
    unix_ms: int


class DecisionIds:
    """Makes the decision ids of one writer."""

    def __init__(self, *, region: int, writer: int) -> None:
        if not 0 <= region <= 0xFF or not 0 <= writer <= 0xFFFF:
            raise ValueError("a region number has 8 bits, a writer 16")
        self._low = (0b10 << 62) | (region << 54) | (writer << 38)
        self._counter = secrets.randbits(11)
        self._random = b""  # a call of the kernel for many ids
        self._random_at = 0

    def new(self, unix_ms: int | None = None) -> str:
        """A new decision id, as of `unix_ms` (default: now)."""
        now_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
        self._counter = (self._counter + 1) & 0xFFF
        high = (now_ms << 16) | (0x7 << 12) | self._counter
        digits = f"{(high << 64) | self._low | self._random_bits():032x}"
        return (
            f"{DECISION_PREFIX}{digits[:8]}-{digits[8:12]}-{digits[12:16]}"
            f"-{digits[16:20]}-{digits[20:]}"
        )

    def _random_bits(self) -> int:
        """38 random bits. A writer has its slot to itself, so that no fork shares them."""
        if self._random_at >= len(self._random):
            self._random, self._random_at = secrets.token_bytes(RANDOM_BYTES), 0
        start = self._random_at
        self._random_at += 5
        return int.from_bytes(self._random[start : start + 5]) >> 2


def locate(decision_id: str) -> DecisionPlace:
    """Read region, writer and time from a decision id.

    Raises:
        ValueError: it is not a decision id of this service.
    """
    if not decision_id.startswith(DECISION_PREFIX):
        raise ValueError("a decision id starts with dec_")
    number = uuid.UUID(decision_id[len(DECISION_PREFIX) :])
    if number.version != 7:
        raise ValueError("a decision id holds a UUIDv7")
    low = number.int & ((1 << 62) - 1)
    return DecisionPlace(region=low >> 54, writer=(low >> 38) & 0xFFFF, unix_ms=number.int >> 80)
