"""One shard's server, as the single writer of its counters talks to it.

    WATCH !applied;  MGET !applied values          one round trip
    MULTI;  PSETEX values;  SET !applied;  EXEC    another

so counters and positions change, and replicate, as one, and a second writer is fenced off.
Commands are packed here, many keys at a time: the driver takes 9 us for one key of a transaction,
this 1.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
import xxhash

__all__ = ["APPLIED_KEY", "CounterStore", "Written", "by_shard", "shard_of"]

APPLIED_KEY = "!applied"
SCANNED_AT_ONCE = 1_000

_APPLIED = APPLIED_KEY.encode()
_WATCH = b"*2\r\n$5\r\nWATCH\r\n$8\r\n!applied\r\n"
_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"


def shard_of(key: str, shards: int) -> int:
    """Which shard a key lives on."""
    return xxhash.xxh64_intdigest(key.encode()) % shards if shards > 1 else 0


def by_shard(keys: Iterable[str], shards: int) -> list[list[str]]:
    """Keys by the shard that they live on, in their order."""
    if shards == 1:
        return [list(keys)]
    found: list[list[str]] = [[] for _ in range(shards)]
    for key in keys:
        found[shard_of(key, shards)].append(key)
    return found


@dataclass(frozen=True, slots=True)
class Written:
    """Values to write, those of one entity.

    Attributes:
        names: of the keys.
        values: of the keys, all of one length.
        expiry_ms: from now.
    """

    names: Sequence[str]
    values: Sequence[bytes]
    expiry_ms: int


class CounterStore:
    """Reads and writes one shard's counters, if no one else writes them meanwhile.

    An error leaves replies on the way: the store is closed then, and another one has to be made.

    Attributes:
        marker: what the store holds under `APPLIED_KEY`, as last known; None of a cold one.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Connect, and read the marker.

        Args:
            client: of the shard's server; closed with the store.

        Raises:
            redis.RedisError: the server is away or refuses.
        """
        self._client = client
        self._connection: Any = client.connection_pool.get_connection()
        self.marker: bytes | None = self._called(_command(b"MGET", [_APPLIED]), replies=1)[0][0]

    @property
    def client(self) -> redis.Redis:
        """The client that was given."""
        return self._client

    def read(self, names: Iterable[str]) -> list[bytes | None]:
        """Values of keys; what is written next happens only if no one else writes before.

        Raises:
            redis.WatchError: another writer was here, or the store went back or lost everything.
        """
        wanted = _command(b"MGET", [_APPLIED, *(name.encode() for name in names)])
        _, (marker, *found) = self._called(_WATCH + wanted, replies=2)
        if marker != self.marker:
            self.close()
            raise redis.WatchError("the store's positions are not those this applier wrote")
        return list(found)

    def write(self, values: Iterable[Written], marker: bytes) -> None:
        """Write values and the marker as one.

        Raises:
            redis.WatchError: someone else wrote since `read`; nothing was written.
        """
        commands = [c for one in values for c in _psetex(one)]
        self._transaction([*commands, _command(b"SET", [_APPLIED, marker])])
        self.marker = marker

    def clear(self, entities: Iterable[str]) -> None:
        """Delete all counters of these entities.

        Raises:
            redis.WatchError: someone else writes.
        """
        for entity in entities:
            left = self._client.scan_iter(match=f"*:{entity}:*", count=SCANNED_AT_ONCE)
            while names := list(islice(left, SCANNED_AT_ONCE)):
                self.read(())
                self._transaction([_command(b"UNLINK", names)])

    def close(self) -> None:
        """Close the connections."""
        self._connection.disconnect()
        self._client.close()

    def _transaction(self, commands: Sequence[bytes]) -> None:
        data = b"".join((_MULTI, *commands, _EXEC))
        done = self._called(data, replies=len(commands) + 2)[-1]
        if done is None:
            self.close()
            raise redis.WatchError("another applier writes this store")
        for reply in done:
            if isinstance(reply, redis.ResponseError):
                self.close()
                raise reply

    def _called(self, data: bytes, *, replies: int) -> list[Any]:
        connection = self._connection
        try:
            connection.send_packed_command([data])
            return [connection.read_response(disable_decoding=True) for _ in range(replies)]
        except BaseException:
            self.close()
            raise


def _command(name: bytes, arguments: Sequence[bytes]) -> bytes:
    packed = [b"$%d\r\n%b\r\n" % (len(one), one) for one in (name, *arguments)]
    return b"".join((b"*%d\r\n" % len(packed), *packed))


def _psetex(written: Written) -> list[bytes]:
    """A `PSETEX name expiry value` for each key."""
    if not written.values:
        return []
    expiry, size = b"%d" % written.expiry_ms, len(written.values[0])
    middle = b"$%d\r\n%b\r\n$%d\r\n" % (len(expiry), expiry, size)
    return [
        b"*4\r\n$6\r\nPSETEX\r\n$%d\r\n%b\r\n%b%b\r\n" % (len(name), name, middle, value)
        for name, value in zip(map(str.encode, written.names), written.values, strict=True)
    ]
