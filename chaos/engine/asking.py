"""How a load asks: as a checkout does, through the client library, or as the client itself does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

import aiohttp
import msgspec

from chaos.engine.wire import Ended, Job, Outcome, Said
from stepdown_client import CLIENT_DEFAULT, Attempt, ClientSettings, StepdownClient, StepdownError
from stepdown_client.answer import read_answer
from stepdown_client.attempt import body_hash, canonical
from stepdown_client.events import ClientEvent, Ejected, Returning, TryFailed
from stepdown_client.routing import RoutingTable, trusted_keys

__all__ = ["AsClient", "Asking", "AtRegion"]

Answered = dict[str, str | bool | None]
_ROUTING_S = 10.0
_ANSWER_S_MAX = 5.0


class Asking(Protocol):
    """Asks for decisions."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

    async def ask(self, attempt: Attempt) -> Answered:
        """The fields of an `Outcome` that an answer fills; never raises."""
        ...

    async def ended(self) -> Ended:
        """What it came to; waits for what is still to be posted back."""
        ...


class AsClient:
    """Through the client library, in one region."""

    def __init__(self, job: Job, tell: Callable[[Said], None]) -> None:
        """Make the client.

        Args:
            job: what to do.
            tell: is told of ejections and returns.
        """
        self._job, self._tell = job, tell
        # With failover off every name leads home, and there is one try.
        home = job.endpoints[job.home]
        endpoints = job.endpoints if job.failover else dict.fromkeys(job.endpoints, home)
        settings = ClientSettings(
            endpoints=endpoints,
            api_key=job.key,
            trusted_keys=Path(job.trusted_keys),
            deadline_ms=job.deadline_ms,
            stand_ins=None if job.stand_ins is None else Path(job.stand_ins),
        )
        if not job.failover:
            settings = replace(settings, hedge_share=0.0, retry_share=0.0, retry_burst=0.0)
        self._client = StepdownClient(settings, listener=self._heard)
        self._failed: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self._client.__aexit__()

    async def ask(self, attempt: Attempt) -> Answered:
        """See `Asking`."""
        try:
            answer = await self._client.decide(attempt)
        except StepdownError as error:
            return {"error": f"refused: {error}"}
        failed = self._failed.pop(attempt.attempt_id, None)
        return {
            "rung": answer.rung,
            "region": answer.region,
            "action": answer.action,
            "signed": answer.signed,
            "error": (failed or "nothing tried") if answer.rung == CLIENT_DEFAULT else None,
        }

    async def ended(self) -> Ended:
        """See `Asking`."""
        await self._client.wait_posted_back(timeout_s=self._job.post_back_s)
        stats = self._client.stats()
        return Ended(
            home=self._job.home,
            requests=stats.requests,
            posted_back=stats.posted_back,
            waiting=stats.waiting + stats.dropped,
            tries=stats.amplification,
        )

    def _heard(self, event: ClientEvent) -> None:
        match event:
            case TryFailed():
                self._failed[event.attempt_id] = event.kind
            case Ejected() | Returning():
                what = "ejected" if isinstance(event, Ejected) else "returning"
                self._tell(
                    Said(
                        home=self._job.home,
                        at_s=time.monotonic(),
                        what=what,  # type: ignore[arg-type]  # one of the two
                        region=event.region,
                        why=event.why if isinstance(event, Ejected) else None,
                    )
                )
            case _:
                pass


class AtRegion:
    """Straight at one region's API; answers are verified as the client library does it."""

    def __init__(self, job: Job) -> None:
        """Prepare; connects with the first question."""
        self._job = job
        self._api = job.endpoints[job.home]
        self._table = RoutingTable(trusted_keys(Path(job.trusted_keys)), cache=None)
        self._headers = {"X-Api-Key": job.key, "Content-Type": "application/json"}
        self._requests = 0

    async def __aenter__(self) -> Self:
        """Ask for the routing document, which the key for verifying answers is in."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S_MAX),
            connector=aiohttp.TCPConnector(limit=0),
            headers=self._headers,
        )
        async with self._session.get(
            f"{self._api}/v1/routing", timeout=aiohttp.ClientTimeout(total=_ROUTING_S)
        ) as reply:
            self._table.offer(await reply.read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        await self._session.close()

    async def ask(self, attempt: Attempt) -> Answered:
        """See `Asking`."""
        self._requests += 1
        _, body = canonical(attempt)
        try:
            async with self._session.post(f"{self._api}/v1/decisions", data=body) as reply:
                content = await reply.read()
                if reply.status != 200:
                    return {"error": f"status {reply.status}"}
            answer = read_answer(
                content,
                attempt_id=attempt.attempt_id,
                body=body,
                body_hash=body_hash(body),
                key=self._table.answer_key,
                now_s=time.time(),
            )
        except (aiohttp.ClientError, TimeoutError, StepdownError, msgspec.MsgspecError) as error:
            return {"error": type(error).__name__}
        return {
            "rung": answer.rung,
            "region": answer.region,
            "action": answer.action,
            "signed": answer.signed,
        }

    async def ended(self) -> Ended:
        """See `Asking`."""
        return Ended(home=self._job.home, requests=self._requests)


def filled(outcome: Outcome, answered: Answered) -> Outcome:
    """An outcome with what an answer fills."""
    return msgspec.structs.replace(outcome, **answered)
