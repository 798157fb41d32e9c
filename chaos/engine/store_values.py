"""Faults of what a datastore holds: counters that do not read, are of another type, or are huge.

Only keys that were there are changed, and what they held is put back where nobody wrote since. What
was counted on a key meanwhile is lost with that; the events stay in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Literal

import msgspec
import redis

from app.errors import OperatorError
from app.features.applier import APPLIED_KEY
from chaos.engine.alternating import in_turns
from chaos.engine.ground import Ground
from chaos.engine.store_faults import client_of

__all__ = ["Spoilt", "spoilt"]

# No MessagePack of ours starts so, and no packed counter is so short.
NONSENSE = b"\xff not a counter"
SCANNED_AT_ONCE = 1_000


class Spoilt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of which values.

    Attributes:
        how: `corrupt` values do not read, those of the wrong `type` are hashes, `huge` ones are
            of `bytes` bytes and do not read either.
        match: keys, by the server's pattern.
        keys: of them, at most.
        bytes: of a huge one.
        share: of the time, in turns: who counts on a value heals it.
        period_s: of a turn.
    """

    how: Literal["corrupt", "type", "huge"]
    match: str = "*:card:*"
    keys: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    bytes: Annotated[int, msgspec.Meta(ge=1_024, le=64 * 2**20)] = 8 * 2**20
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    period_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0


@contextmanager
def spoilt(ground: Ground, target: str, options: Spoilt) -> Iterator[None]:
    """Values of a datastore are spoilt, all the time or in turns."""
    with (
        client_of(ground, target) as client,
        in_turns(
            lambda: _spoilt(client, target, options),
            share=options.share,
            period_s=options.period_s,
        ),
    ):
        yield


@contextmanager
def _spoilt(client: redis.Redis, target: str, options: Spoilt) -> Iterator[None]:
    held = _held(client, options)
    if not held:
        raise OperatorError(f"{target} holds no key like {options.match!r} that could be spoilt.")
    garbage = NONSENSE if options.how == "corrupt" else NONSENSE.ljust(options.bytes, b".")
    pipe = client.pipeline(transaction=False)
    for key in held:
        if options.how == "type":
            pipe.unlink(key)
            pipe.hset(key, "drill", "1")
        else:
            pipe.set(key, garbage, xx=True, keepttl=True)
    pipe.execute()
    try:
        yield
    finally:
        _put_back(client, held, None if options.how == "type" else garbage)


def _held(client: redis.Redis, options: Spoilt) -> dict[bytes, tuple[bytes, int]]:
    """Value and expiry, ms, of the keys; those without a value that reads are passed over."""
    found = client.scan_iter(match=options.match, count=SCANNED_AT_ONCE, _type="string")
    keys = list(islice((key for key in found if key != APPLIED_KEY.encode()), options.keys))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.get(key)
        pipe.pttl(key)
    said = pipe.execute()
    both = zip(keys, said[::2], said[1::2], strict=True)
    return {key: (value, expiry_ms) for key, value, expiry_ms in both if value is not None}


def _put_back(
    client: redis.Redis, held: dict[bytes, tuple[bytes, int]], garbage: bytes | None
) -> None:
    """What the keys held, where they still hold what was put there."""
    for key, (value, expiry_ms) in held.items():
        with client.pipeline() as pipe:
            try:
                pipe.watch(key)  # type: ignore[no-untyped-call]
                ours = pipe.type(key) == b"hash" if garbage is None else pipe.get(key) == garbage
                if ours:
                    pipe.multi()
                    pipe.unlink(key)
                    pipe.set(key, value, px=expiry_ms if expiry_ms > 0 else None)
                    pipe.execute()
            except redis.WatchError:
                continue  # it was counted on just now, and is whole again
