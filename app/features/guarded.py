"""A shard's client behind a breaker, for one use that is made of it.

A call is settled when its reply is there, whoever waits for it by then: of several that are waited
for together, one that is late must not make the others look slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from app.features.shard import Command, Packed, ShardClient
from fallback.breaker import Admission, Breaker
from fallback.errors import BreakerOpen, RungError

__all__ = ["GuardedShard", "came"]


def came(reply: asyncio.Future[Any]) -> bool:
    """Whether a reply is there, as far as adapters know why it is not.

    Raises:
        Exception: it failed for what nobody expected.
    """
    if not reply.done() or reply.cancelled():
        return False
    error = reply.exception()
    if error is not None and not isinstance(error, RungError):
        raise error
    return error is None


class GuardedShard:
    """Sends commands to a shard as long as its breaker allows. For one event loop."""

    def __init__(
        self,
        shard: ShardClient,
        breaker: Breaker,
        *,
        judge: Callable[[Any], RungError | None] = lambda _reply: None,
    ) -> None:
        """Guard a shard.

        Args:
            shard: client.
            breaker: of this use of it.
            judge: what is wrong with a reply that came in time; it counts as evidence.
        """
        self.shard = shard
        self.breaker = breaker
        self._judge = judge

    def submit(self, *command: Any) -> asyncio.Future[Any]:
        """As `ShardClient.submit`; the future also fails with `BreakerOpen`."""
        return self._guarded(partial(self.shard.submit, *command))

    def submit_packed(self, command: Packed) -> asyncio.Future[Any]:
        """As `submit`, a command that is packed already."""
        return self._guarded(partial(self.shard.submit_packed, command))

    def submit_all(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """As `ShardClient.submit_all`, as one call of the dependency."""
        return self._guarded(partial(self.shard.submit_all, commands))

    def _guarded(self, send: Callable[[], asyncio.Future[Any]]) -> asyncio.Future[Any]:
        try:
            admission = self.breaker.admit()
        except BreakerOpen as refused:
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(refused)
            return failed
        try:
            reply = send()
        except BaseException as error:
            self.breaker.settle(admission, error)
            raise
        reply.add_done_callback(partial(self._settle, admission))
        return reply

    def _settle(self, admission: Admission, reply: asyncio.Future[Any]) -> None:
        error: BaseException | None = asyncio.CancelledError() if reply.cancelled() else None
        if error is None and (error := reply.exception()) is None:
            try:
                error = self._judge(reply.result())
            except Exception as bug:  # noqa: BLE001 - whoever reads the reply will meet it, too
                error = bug
        self.breaker.settle(admission, error)
