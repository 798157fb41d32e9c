"""One effect for one id of the sender's, however often it is sent.

A claim is a key of the region's own store: the hash of the body, then the answer behind it.

* a new id: do what is asked, then leave the answer with the claim;
* the same id and body: the same answer; if there is none yet, the first try was cut off or is
  still under way, and doing it again is right;
* the same id, another body: a mistake of the sender's, 409.

A decision's claim travels in the same round trip as the counters. While the store is away every
id counts as new: a duplicate is done twice, and reconciled by its id from history.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass

from app.coalesce import Coalescer
from app.features.online import Source
from fallback.errors import RungError

__all__ = ["Claim", "ClaimState", "Claims"]

HASH_BYTES = 16
CLAIMS_MAX = 128


class ClaimState(enum.StrEnum):
    """What a claim says of an id."""

    NEW = "new"
    PENDING = "pending"
    ANSWERED = "answered"
    OTHER_BODY = "other_body"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim on an id.

    Attributes:
        state: what is known.
        answer: as given before, where it was.
    """

    state: ClaimState
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    key: str
    body_hash: bytes


class Claims:
    """Claims in the region's own store."""

    def __init__(self, source: Source | None, *, of: str, ttl_s: int) -> None:
        """Make the claims.

        Args:
            source: the region's own store; None where it is not among the sources.
            of: what the ids are of ("attempt"), part of the keys.
            ttl_s: how long an answer is kept for repeats.
        """
        self.unsettled = 0
        self._source = source
        self._of = of
        self._ttl_s = ttl_s
        # As many turns of the loop as a read of counters takes, so that they meet in one pipeline.
        self._asks: Coalescer[_Ask, Claim] = Coalescer(self._claim, batch_max=CLAIMS_MAX)
        self._answers: Coalescer[tuple[str, bytes], None] = Coalescer(
            self._settle, batch_max=CLAIMS_MAX
        )

    def claim(self, tenant: str, id: str, body_hash: bytes) -> asyncio.Future[Claim]:
        """Claim an id for a body; the future never fails.

        Args:
            tenant: whose id.
            id: of the sender.
            body_hash: of the canonical request, 16 bytes.
        """
        return self._asks.submit(_Ask(self._key(tenant, id), body_hash))

    def settle(self, tenant: str, id: str, body_hash: bytes, answer: bytes) -> None:
        """Leave the answer with its claim; nobody waits for it."""
        self._answers.submit((self._key(tenant, id), body_hash + answer))

    async def _claim(self, asks: list[_Ask]) -> list[Claim]:
        unknown = Claim(ClaimState.UNKNOWN)
        if self._source is None:
            return [unknown] * len(asks)
        # The same id twice in a batch: the first one claims, the others find it pending.
        first = {ask.key: ask for ask in reversed(asks)}
        commands = {
            ask.key: ("SET", ask.key, ask.body_hash, "NX", "GET", "EX", self._ttl_s)
            for ask in first.values()
        }
        try:
            replies = await self._source.write(commands)
        except RungError:
            return [unknown] * len(asks)
        stored: dict[str, bytes | None] = dict(zip(commands, replies, strict=True))
        return [
            self._read(ask, stored[ask.key] if first[ask.key] is ask else first[ask.key].body_hash)
            for ask in asks
        ]

    def _key(self, tenant: str, id: str) -> str:
        return f"{tenant}:{self._of}:{id}"

    def _read(self, ask: _Ask, stored: bytes | None) -> Claim:
        if stored is None:
            return Claim(ClaimState.NEW)
        if stored[:HASH_BYTES] != ask.body_hash:
            return Claim(ClaimState.OTHER_BODY)
        if len(stored) == HASH_BYTES:
            return Claim(ClaimState.PENDING)
        return Claim(ClaimState.ANSWERED, stored[HASH_BYTES:])

    async def _settle(self, answers: list[tuple[str, bytes]]) -> list[None]:
        if self._source is not None:
            commands = {key: ("SET", key, value, "EX", self._ttl_s) for key, value in answers}
            try:
                await self._source.write(commands)
            except RungError:
                self.unsettled += len(answers)
        return [None] * len(answers)
