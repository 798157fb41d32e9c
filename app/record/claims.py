"""One effect for one id of the sender's, however often it is sent.

A claim is a key of the region's own store: the hash of the body, then the answer behind it.

* a new id: do what is asked, then leave the answer with the claim;
* the same id and body: the same answer; if there is none yet, the first try was cut off or is
  still under way, and doing it again is right;
* the same id, another body: a mistake of the sender's, 409.

A decision's claim travels in the same round trip as the counters, and so does a look into the local
copies of the other regions' stores: an attempt that another region answered before, longer ago than
its claim takes to get here, is answered alike. Of several answers the region's own holds, else the
one whose bytes come first, which begin with the time-ordered decision id: the same everywhere. An
answer outweighs every claim without one, so that a body that was refused elsewhere bars nobody. Two
regions that are asked at once both decide; which of the two is acted on is the client's to say.

While the store is away every id that no copy knows counts as new: a duplicate is done twice, and
reconciled by its id from history.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.coalesce import Coalescer
from app.features.online import Source
from app.record.claim_store import ClaimStore
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
    """Claims in the region's own store, and a look into the copies of others."""

    def __init__(
        self, store: ClaimStore | None, *, of: str, ttl_s: int, copies: Sequence[Source] = ()
    ) -> None:
        """Make the claims.

        Args:
            store: the region's own; None where it is not among those that are read.
            of: what the ids are of ("attempt"), part of the keys.
            ttl_s: how long an answer is kept for repeats.
            copies: local copies of other regions' stores, for answers that were given there.
        """
        self.unsettled = 0
        self._store = store
        self._copies = tuple(copies)
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

    async def enter(self, answers: Iterable[tuple[str, str, bytes, bytes]]) -> list[Claim]:
        """Claim ids for answers that are there already: the claim and the answer in one command.

        Args:
            answers: tenant, id, hash of the body, answer.

        Returns:
            What each id's claim says; where it is `NEW`, `PENDING` or `UNKNOWN` the answer stands.
        """
        entered: dict[str, bytes] = {}  # by key; of the same id twice the first
        values: list[tuple[str, bytes]] = []
        for tenant, id, body_hash, answer in answers:
            key, value = self._key(tenant, id), body_hash + answer
            entered.setdefault(key, value)
            values.append((key, value))
        own = await self._write_new(entered)
        return [self._entered(key, value, own, first=entered[key]) for key, value in values]

    async def _claim(self, asks: list[_Ask]) -> list[Claim]:
        # The same id twice in a batch: the first one claims, the others find its claim.
        first = {ask.key: ask for ask in reversed(asks)}
        claiming = self._claimed(list(first.values()))
        elsewhere: list[dict[str, bytes]] = []
        if not self._copies:  # a task less, and a turn of the loop
            own = await claiming
        else:
            looking = asyncio.gather(*(copy.values(list(first)) for copy in self._copies))
            own, elsewhere = await asyncio.gather(claiming, looking)
        return [self._read(ask, own, elsewhere, first=first[ask.key]) for ask in asks]

    async def _claimed(self, asks: list[_Ask]) -> dict[str, bytes | None]:
        """Claim keys: what the own store had of each before; none of a store that is away."""
        return await self._write_new({ask.key: ask.body_hash for ask in asks})

    async def _write_new(self, values: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Write what is not there yet; what was there before, by key."""
        if self._store is None:
            return {}
        commands = {
            key: ("SET", key, value, "NX", "GET", "EX", self._ttl_s)
            for key, value in values.items()
        }
        try:
            replies = await self._store.write(commands)
        except RungError:
            return {}
        return dict(zip(commands, replies, strict=True))

    def _key(self, tenant: str, id: str) -> str:
        return f"{tenant}:{self._of}:{id}"

    def _read(
        self,
        ask: _Ask,
        own: Mapping[str, bytes | None],
        elsewhere: Sequence[Mapping[str, bytes]],
        *,
        first: _Ask,
    ) -> Claim:
        """What an ask finds: an answer wherever there is one, else what the own store says."""
        stored = own.get(ask.key)
        if stored is None and ask.key in own and first is not ask:
            stored = first.body_hash
        if stored is None or len(stored) == HASH_BYTES:
            answers = [
                found[ask.key] for found in elsewhere if len(found.get(ask.key, b"")) > HASH_BYTES
            ]
            if answers:
                stored = min(answers, key=lambda answer: answer[HASH_BYTES:])
                self._answers.submit((ask.key, stored))  # once found, it stays found
        if stored is None:
            return Claim(ClaimState.NEW if ask.key in own else ClaimState.UNKNOWN)
        return _said(stored, ask.body_hash)

    def _entered(
        self, key: str, value: bytes, own: Mapping[str, bytes | None], *, first: bytes
    ) -> Claim:
        """What an answer's id finds."""
        stored = own.get(key)
        if stored is None and first is not value:
            stored = first
        if stored is None:
            return Claim(ClaimState.NEW if key in own else ClaimState.UNKNOWN)
        claim = _said(stored, value[:HASH_BYTES])
        if claim.state is ClaimState.PENDING:
            self._answers.submit((key, value))
        return claim

    async def _settle(self, answers: list[tuple[str, bytes]]) -> list[None]:
        if self._store is not None:
            commands = {key: ("SET", key, value, "EX", self._ttl_s) for key, value in answers}
            try:
                await self._store.write(commands)
            except RungError:
                self.unsettled += len(answers)
        return [None] * len(answers)


def _said(stored: bytes, body_hash: bytes) -> Claim:
    """What is stored under an id says to a body."""
    if stored[:HASH_BYTES] != body_hash:
        return Claim(ClaimState.OTHER_BODY)
    if len(stored) == HASH_BYTES:
        return Claim(ClaimState.PENDING)
    return Claim(ClaimState.ANSWERED, stored[HASH_BYTES:])
