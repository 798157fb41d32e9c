"""The same for callers without an event loop: a thread of its own runs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar

from stepdown_client.addresses import Lookup, system_lookup
from stepdown_client.answer import Answer
from stepdown_client.attempt import Attempt
from stepdown_client.client import StepdownClient
from stepdown_client.events import Listener
from stepdown_client.settings import ClientSettings
from stepdown_client.stats import ClientStats

__all__ = ["SyncStepdownClient"]

T = TypeVar("T")


class SyncStepdownClient:
    """A `StepdownClient` for threads: any number of them may use one. A context manager."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        listener: Listener | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Make the client; see `StepdownClient`. The listener is called on the client's thread."""
        self._make: Callable[[], StepdownClient] = lambda: StepdownClient(
            settings, listener=listener, lookup=lookup
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="stepdown-client", daemon=True
        )
        self._client: StepdownClient | None = None

    def __enter__(self) -> Self:
        """Start the thread and the client.

        Raises:
            RoutingError: a trusted key cannot be read.
        """
        self._thread.start()
        try:
            self._client = self._run(self._begin())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        try:
            self._run(self._started.__aexit__())
        finally:
            self._end_thread()

    def decide(
        self,
        attempt: Attempt | Mapping[str, Any] | bytes,
        *,
        deadline_ms: float | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Decide one attempt; see `StepdownClient.decide`."""
        return self._run(
            self._started.decide(attempt, deadline_ms=deadline_ms, traceparent=traceparent)
        )

    def wait_posted_back(self, *, timeout_s: float) -> bool:
        """See `StepdownClient.wait_posted_back`."""
        return self._run(self._started.wait_posted_back(timeout_s=timeout_s))

    def stats(self) -> ClientStats:
        """See `StepdownClient.stats`."""

        async def on_the_loop() -> ClientStats:
            return self._started.stats()

        return self._run(on_the_loop())

    @property
    def _started(self) -> StepdownClient:
        if self._client is None:
            raise RuntimeError("use the client in a with block")
        return self._client

    async def _begin(self) -> StepdownClient:
        return await self._make().__aenter__()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
