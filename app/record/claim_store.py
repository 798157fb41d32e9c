"""The region's own datastore as claims are written to it, each shard behind a breaker of its own.

Reading there has another one (`app.features.online.Source`): a store that refuses the one may well
do the other, and a breaker that heard of both would hear mostly of what goes well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.features.counter_store import by_shard
from app.features.guarded import GuardedShard, came
from app.features.shard import Command, ShardClient
from fallback.breaker import Breaker

__all__ = ["ClaimStore", "Written"]


class ClaimStore:
    """One datastore, written to."""

    def __init__(self, shards: Sequence[ShardClient], *, breakers: Sequence[Breaker]) -> None:
        """Make the store.

        Args:
            shards: clients, in the order of the shards; who made them closes them.
            breakers: of writing to each.
        """
        self.breakers = tuple(breakers)
        self._shards = [GuardedShard(*both) for both in zip(shards, breakers, strict=True)]

    def write(self, commands: Mapping[str, Command]) -> Written:
        """Send one command a key, together with what else is sent in this turn.

        Args:
            commands: command by the key it is about, which says its shard.
        """
        shards = zip(self._shards, by_shard(commands, len(self._shards)), strict=True)
        asked = [(shard, part) for shard, part in shards if part]
        return Written(
            [part for _, part in asked],
            [shard.submit_all([commands[key] for key in part]) for shard, part in asked],
        )

    def flush(self) -> None:
        """Send what was written at once."""
        for shard in self._shards:
            shard.shard.flush()


class Written:
    """Commands that are under way.

    Attributes:
        replies: futures, one a shard.
    """

    __slots__ = ("_parts", "replies")

    def __init__(
        self, parts: Sequence[Sequence[str]], replies: Sequence[asyncio.Future[list[Any]]]
    ) -> None:
        self._parts = parts
        self.replies = replies

    def parts(self) -> Iterator[tuple[Sequence[str], asyncio.Future[list[Any]]]]:
        """The keys of each shard, and the reply to their commands."""
        return zip(self._parts, self.replies, strict=True)

    def found(self) -> dict[str, Any]:
        """Reply by key, of the shards that have answered by now."""
        return {
            key: value
            for keys, reply in self.parts()
            if came(reply)
            for key, value in zip(keys, reply.result(), strict=True)
        }
