"""The region's own datastore as claims are written to it, each shard behind a breaker of its own.

Reading there has another one (`app.features.online.Source`): a store that refuses the one may well
do the other, and a breaker that heard of both would hear mostly of what goes well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.coalesce import together
from app.features.applier import shard_of
from app.features.shard import Command, ShardClient
from fallback.breaker import Breaker

__all__ = ["ClaimStore"]


class ClaimStore:
    """One datastore, written to."""

    def __init__(self, shards: Sequence[ShardClient], *, breakers: Sequence[Breaker]) -> None:
        """Make the store.

        Args:
            shards: clients, in the order of the shards; who made them closes them.
            breakers: of writing to each.
        """
        self.breakers = tuple(breakers)
        self._shards = tuple(zip(shards, breakers, strict=True))

    async def write(self, commands: Mapping[str, Command]) -> list[Any]:
        """Send one command a key, together with what is read in the same turn.

        Args:
            commands: command by the key it is about, which says its shard.

        Returns:
            Their replies, in order.

        Raises:
            RungError: refused by a breaker, or one of them failed.
        """
        if commands and len(self._shards) == 1:
            return await self._write(0, [*commands.values()])
        by_shard: dict[int, list[str]] = {}
        for name in commands:
            by_shard.setdefault(shard_of(name, len(self._shards)), []).append(name)
        parts = await together(
            [self._write(at, [commands[name] for name in names]) for at, names in by_shard.items()]
        )
        replies = {
            name: reply
            for names, part in zip(by_shard.values(), parts, strict=True)
            for name, reply in zip(names, part, strict=True)
        }
        return [replies[name] for name in commands]

    async def _write(self, at: int, commands: Sequence[Command]) -> list[Any]:
        shard, breaker = self._shards[at]
        with breaker.call():
            return await shard.submit_all(commands)
