"""The hot route, `POST /v1/decisions`, as plain ASGI in front of the FastAPI app.

Routing, validation and middleware of a framework cost ten times what this does, and every
millisecond is taken from the rungs. Everything else goes through to the app behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from app.api.auth import Keys, Scope
from app.api.problem import PROBLEM_JSON, MethodNotAllowed, RequestProblem
from app.api.reading import read_attempt, read_deadline_ms, read_retry, read_trace
from app.api.request import (
    BODY_WAIT_S,
    ClientGone,
    Receive,
    body_of,
    check_media_type,
    headers_of,
)
from app.api.wire import Decision
from app.decide import Decider
from app.gathering import Gathering
from app.telemetry import Telemetry
from fallback.clock import Clock
from fallback.deadline import Deadline

__all__ = ["Front", "LoopLag"]

Scope_ = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope_, Receive, Send], Awaitable[None]]

PATH = "/v1/decisions"
log = logging.getLogger(__name__)


class LoopLag:
    """How long a request waited before the loop looked at it, as an estimate.

    Measured by a timer that asks to be called every `every_s` and sees how late it is.
    """

    def __init__(
        self, clock: Clock, *, told: Callable[[float], None], every_s: float = 0.02
    ) -> None:
        """Make the estimate.

        Args:
            clock: monotonic.
            told: is told of each measurement, milliseconds.
            every_s: between two measurements.
        """
        self._clock = clock
        self._told = told
        self._every_s = every_s
        self.ms = 0.0

    async def measure(self) -> None:
        """Run for the life of the process."""
        while True:
            started_s = self._clock.monotonic()
            await asyncio.sleep(self._every_s)
            self.ms = max(0.0, (self._clock.monotonic() - started_s - self._every_s) * 1_000)
            self._told(self.ms)


class Front:
    """The ASGI front."""

    def __init__(
        self,
        behind: ASGIApp,
        *,
        decider: Callable[[], Decider],
        keys: Callable[[], Keys],
        telemetry: Telemetry,
        clock: Clock,
        lag: LoopLag,
        gathering: Gathering,
        deadline_ms: int,
        body_wait_s: float = BODY_WAIT_S,
    ) -> None:
        """Make the front.

        Args:
            behind: the app that serves every other path.
            decider: decides; there once the process has started.
            keys: API keys in force.
            telemetry: counts.
            clock: monotonic.
            lag: estimate of the wait before a request is looked at.
            gathering: says when a request that was read may begin.
            deadline_ms: what a decision has when the caller asks for nothing less.
            body_wait_s: longest wait for a body that comes in pieces.
        """
        self._behind = behind
        self._decider = decider
        self._keys = keys
        self._telemetry = telemetry
        self._clock = clock
        self._lag = lag
        self._gathering = gathering
        self._deadline_ms = deadline_ms
        self._body_wait_s = body_wait_s
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope_, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._behind(scope, receive, send)
            return
        try:
            answer = await self._decide(scope, receive)
        except RequestProblem as problem:
            self._telemetry.count("requests_refused", str(problem.status))
            headers = [(b"content-type", PROBLEM_JSON.encode()), *problem.headers]
            await _send(send, problem.status, headers, problem.body(PATH))
        except ClientGone:
            self._telemetry.count("requests_refused", "499")
        else:
            self._telemetry.answered(answer.rung, answer.action, answer.took_ms)
            headers = [(b"content-type", b"application/json")]
            await _send(send, 200, headers, self._encode(answer))

    async def _decide(self, scope: Scope_, receive: Receive) -> Decision:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        headers = headers_of(scope["headers"])
        caller = self._keys().authenticate(headers.get(b"x-api-key"), Scope.DECIDE)
        asked_ms = read_deadline_ms(headers.get(b"x-deadline-ms"))
        deadline_ms = min(asked_ms or self._deadline_ms, self._deadline_ms)
        deadline = Deadline.after(
            budget_ms=deadline_ms, clock=self._clock, already_spent_ms=self._lag.ms
        )
        retry = read_retry(headers.get(b"x-attempt-retry"))
        check_media_type(headers)
        body = await body_of(headers, receive, self._body_wait_s)
        if (gathering := self._gathering.wait()) is not None:
            await gathering
        attempt, canonical = read_attempt(body)
        return await self._decider().decide(
            attempt,
            canonical,
            caller=caller,
            deadline=deadline,
            deadline_ms=deadline_ms,
            retry=retry,
            trace=read_trace(headers.get(b"traceparent")),
        )


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
