"""One shard's server, as the decision path talks to it.

Commands of the same loop turn travel together: the counters of every waiting attempt and the
claims on their attempt ids are one round trip. Errors of the driver become the ladder's here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.coalesce import Coalescer
from app.settings import Shard
from fallback.errors import BulkheadFull, DependencyTimeout, DependencyUnavailable

__all__ = ["Command", "ShardClient", "client"]

CONNECTIONS_MAX = 16
COMMANDS_MAX = 512

Command = tuple[Any, ...]


class ShardClient:
    """Sends commands to one server. For one event loop."""

    def __init__(self, client: redis.asyncio.Redis, *, region: str) -> None:
        self._client = client
        self._region = region
        self._commands: Coalescer[Command, Any] = Coalescer(self._send, batch_max=COMMANDS_MAX)

    def submit(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command with the others of this turn; await the future for its reply.

        The future fails with a `fallback.errors.RungError`.
        """
        return self._commands.submit(command)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, commands: list[Command]) -> Sequence[Any]:
        try:
            if len(commands) == 1:
                reply = await self._client.execute_command(*commands[0])  # type: ignore[no-untyped-call]
                return [reply]
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        except redis.exceptions.MaxConnectionsError as error:
            raise BulkheadFull(str(error), dependency=self._region) from None
        except redis.exceptions.TimeoutError as error:
            raise DependencyTimeout(str(error), dependency=self._region) from None
        except (redis.exceptions.RedisError, OSError) as error:
            raise DependencyUnavailable(str(error), dependency=self._region) from None
        return [
            DependencyUnavailable(str(reply), dependency=self._region)
            if isinstance(reply, redis.exceptions.RedisError)
            else reply
            for reply in replies
        ]


def client(shard: Shard, *, password: str | None, timeout_ms: int) -> redis.asyncio.Redis:
    """A client for the decision path: short waits, no retries, a bounded number of connections."""
    made = redis.asyncio.Redis(
        host=shard.host,
        port=shard.port,
        password=password,
        protocol=2,
        socket_timeout=timeout_ms / 1_000,
        socket_connect_timeout=timeout_ms / 1_000,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS_MAX,
        client_name="stepdown-scorer",
    )
    # The driver turns every reply to SET into a bool, also the value that `SET ... GET` asks for.
    made.set_response_callback("SET", _as_it_came)
    return made


def _as_it_came(response: Any, **options: Any) -> Any:  # noqa: ARG001 - the driver's protocol
    return response
