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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from app.features.online import Source, ValuesRead
from app.record.claim_store import ClaimStore, Written

__all__ = ["Claim", "ClaimState", "Claiming", "Claims", "Entry", "Id"]

HASH_BYTES = 16


class ClaimState(enum.StrEnum):
    """What a claim says of an id."""

    NEW = "new"
    PENDING = "pending"
    ANSWERED = "answered"
    OTHER_BODY = "other_body"
    UNKNOWN = "unknown"


class Claim(msgspec.Struct, frozen=True):
    """A claim on an id.

    Attributes:
        state: what is known.
        answer: as given before, where it was.
    """

    state: ClaimState
    answer: bytes | None = None


class Id(NamedTuple):
    """An id that is claimed for a body.

    Attributes:
        tenant: whose id.
        id: of the sender.
        body_hash: of the canonical request, 16 bytes.
    """

    tenant: str
    id: str
    body_hash: bytes


class Entry(NamedTuple):
    """An id, and the answer that is left with it."""

    id: Id
    answer: bytes


# What an own store had of keys before, and what copies of others have.
_Read = Callable[[Mapping[str, bytes | None], Sequence[Mapping[str, bytes]]], list["Claim"]]


class Claiming:
    """Claims that are under way."""

    __slots__ = ("_looks", "_read", "_written")

    def __init__(self, written: Written | None, looks: Sequence[ValuesRead], read: _Read) -> None:
        self._written = written
        self._looks = looks
        self._read = read

    async def claims(self, within_ms: float | None = None) -> list[Claim]:
        """What the ids' claims say, in order; never fails.

        Args:
            within_ms: longest wait; a store that is later has no say.
        """
        replies = [] if self._written is None else [*self._written.replies]
        for look in self._looks:
            replies += look.replies
        late = [reply for reply in replies if not reply.done()]
        if late:
            await asyncio.wait(late, timeout=None if within_ms is None else within_ms / 1_000)
        own = {} if self._written is None else self._written.found()
        return self._read(own, [look.values() for look in self._looks])


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

    async def claim(self, tenant: str, id: str, body_hash: bytes) -> Claim:
        """Claim one id; see `claim_all`."""
        (claim,) = await self.claim_all([Id(tenant, id, body_hash)]).claims()
        return claim

    def claim_all(self, ids: Sequence[Id]) -> Claiming:
        """Claim ids for their bodies, together with what else is sent in this turn.

        Args:
            ids: at least one; of the same id twice the first one claims.
        """
        asked = [(self._key(one), one.body_hash) for one in ids]
        first = _first(asked)
        written = self._write_new([asked[at] for at in first.values()])
        looks = [copy.ask_values([*first]) for copy in self._copies]

        def read(
            own: Mapping[str, bytes | None], elsewhere: Sequence[Mapping[str, bytes]]
        ) -> list[Claim]:
            return [
                self._found(key, body, own, elsewhere, _before(asked, first[key], at))
                for at, (key, body) in enumerate(asked)
            ]

        return Claiming(written, looks, read)

    def enter_all(self, entries: Sequence[Entry]) -> Claiming:
        """Claim ids for answers that are there already: claim and answer in one command.

        Where a claim is `NEW`, `PENDING` or `UNKNOWN` the answer stands. Copies are not looked at.

        Args:
            entries: at least one; of the same id twice the first one claims.
        """
        asked = [(self._key(one.id), one.id.body_hash + one.answer) for one in entries]
        first = _first(asked)
        written = self._write_new([asked[at] for at in first.values()])

        def read(
            own: Mapping[str, bytes | None], _elsewhere: Sequence[Mapping[str, bytes]]
        ) -> list[Claim]:
            return [
                self._entered(key, value, own, _before(asked, first[key], at))
                for at, (key, value) in enumerate(asked)
            ]

        return Claiming(written, (), read)

    def settle_all(self, entries: Sequence[Entry]) -> None:
        """Leave answers with their claims; nobody waits for it."""
        self._settle({self._key(one.id): one.id.body_hash + one.answer for one in entries})

    def settle(self, tenant: str, id: str, body_hash: bytes, answer: bytes) -> None:
        """Leave one answer with its claim; nobody waits for it."""
        self.settle_all([Entry(Id(tenant, id, body_hash), answer)])

    def _write_new(self, values: Iterable[tuple[str, bytes]]) -> Written | None:
        """Write what is not there yet; the replies are what was there before."""
        if self._store is None:
            return None
        return self._store.write(
            {key: ("SET", key, value, "NX", "GET", "EX", self._ttl_s) for key, value in values}
        )

    def _settle(self, values: Mapping[str, bytes]) -> None:
        if self._store is None or not values:
            return
        written = self._store.write(
            {key: ("SET", key, value, "EX", self._ttl_s) for key, value in values.items()}
        )
        # Before the answer: who sends his attempt again may be heard by another process.
        self._store.flush()
        for keys, reply in written.parts():
            reply.add_done_callback(partial(self._count, len(keys)))

    def _count(self, keys: int, reply: asyncio.Future[list[object]]) -> None:
        if reply.cancelled() or reply.exception() is not None:
            self.unsettled += keys

    def _key(self, id: Id) -> str:
        return f"{id.tenant}:{self._of}:{id.id}"

    def _found(
        self,
        key: str,
        body_hash: bytes,
        own: Mapping[str, bytes | None],
        elsewhere: Sequence[Mapping[str, bytes]],
        before: bytes | None,
    ) -> Claim:
        """What an ask finds: an answer wherever there is one, else what the own store says."""
        stored = own.get(key)
        if stored is None and key in own:
            stored = before
        if stored is None or len(stored) == HASH_BYTES:
            answers = [found[key] for found in elsewhere if len(found.get(key, b"")) > HASH_BYTES]
            if answers:
                stored = min(answers, key=lambda answer: answer[HASH_BYTES:])
                self._settle({key: stored})  # once found, it stays found
        if stored is None:
            return Claim(ClaimState.NEW if key in own else ClaimState.UNKNOWN)
        return _said(stored, body_hash)

    def _entered(
        self, key: str, value: bytes, own: Mapping[str, bytes | None], before: bytes | None
    ) -> Claim:
        """What an answer's id finds."""
        stored = own.get(key)
        if stored is None:
            stored = before
        if stored is None:
            return Claim(ClaimState.NEW if key in own else ClaimState.UNKNOWN)
        claim = _said(stored, value[:HASH_BYTES])
        if claim.state is ClaimState.PENDING:
            self._settle({key: value})
        return claim


def _first(asked: Sequence[tuple[str, bytes]]) -> dict[str, int]:
    """Place of the first of each key, in their order."""
    first: dict[str, int] = {}
    for at, (key, _) in enumerate(asked):
        first.setdefault(key, at)
    return first


def _before(asked: Sequence[tuple[str, bytes]], first: int, at: int) -> bytes | None:
    """What was claimed just before under the same key; None of the first."""
    return None if first == at else asked[first][1]


def _said(stored: bytes, body_hash: bytes) -> Claim:
    """What is stored under an id says to a body."""
    if stored[:HASH_BYTES] != body_hash:
        return Claim(ClaimState.OTHER_BODY)
    if len(stored) == HASH_BYTES:
        return Claim(ClaimState.PENDING)
    return Claim(ClaimState.ANSWERED, stored[HASH_BYTES:])
