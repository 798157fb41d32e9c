"""The hot route, `POST /v1/decisions`, in front of the FastAPI app.

Routing, validation and middleware of a framework cost ten times what this does, and every
millisecond is taken from the rungs. Everything else goes through to the app behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from app.api.auth import Caller, Keys, Scope
from app.api.problem import PROBLEM_JSON, Failed, MethodNotAllowed, RequestProblem
from app.api.reading import read_attempt, read_deadline_ms, read_retry, read_trace
from app.api.request import (
    BODY_WAIT_S,
    ClientGone,
    Receive,
    body_of,
    check_media_type,
    headers_of,
)
from app.decide import Decider
from app.gathering import LATE, Gathering
from app.record.made import Answered, Asked
from app.telemetry import Telemetry
from fallback.clock import Clock
from fallback.deadline import Deadline

__all__ = ["Answer", "Front", "LoopLag", "Waiting"]

Scope_ = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope_, Receive, Send], Awaitable[None]]

PATH = "/v1/decisions"
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", PROBLEM_JSON.encode())
log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A response.

    Attributes:
        status: of HTTP.
        headers: names in lower case, the body's length among them.
        body: content.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Waiting(Protocol):
    """Who waits for an answer.

    Attributes:
        disconnected: whether he has hung up.
    """

    disconnected: bool

    def respond(self, answer: Answer) -> None:
        """Take the answer."""
        ...


class _Awaited:
    """Who waits by a future."""

    disconnected = False

    def __init__(self) -> None:
        self.answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def respond(self, answer: Answer) -> None:
        """See `Waiting`."""
        self.answered.set_result(answer)


class _Arrived(NamedTuple):
    """A request that is there.

    Attributes:
        headers: names in lower case.
        body: of it.
        waiting: is told the answer.
        arrived_s: when, by the clock.
        spent_ms: how long it had waited by then, as an estimate.
        admitted: where its headers were looked at already.
    """

    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    waiting: Waiting
    arrived_s: float
    spent_ms: float
    admitted: _Admitted | None = None


class _Admitted(NamedTuple):
    """A request whose headers will do."""

    headers: dict[bytes, bytes]
    caller: Caller
    deadline: Deadline
    deadline_ms: int
    retry: int


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
    """The ASGI front; and, for requests that are there as a whole, a way round ASGI.

    The way round (`take`) makes no task and no message: a request joins those of its moment, and is
    answered by a callback. `app/connection.py` hands over what came in one piece.
    """

    path = PATH.encode()

    def __init__(
        self,
        behind: ASGIApp,
        *,
        decider: Callable[[], Decider],
        keys: Callable[[], Keys],
        telemetry: Telemetry,
        clock: Clock,
        lag: LoopLag,
        gather_ms: float,
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
            gather_ms: longest wait of a request for those that it begins with.
            deadline_ms: what a decision has when the caller asks for nothing less.
            body_wait_s: longest wait for a body that comes in pieces.
        """
        self._behind = behind
        self._decider = decider
        self._keys = keys
        self._telemetry = telemetry
        self._clock = clock
        self._lag = lag
        self._gathering: Gathering[_Arrived] = Gathering(
            self._decide, wait_ms=gather_ms, gone=self._gone, late=self._late
        )
        self._deadline_ms = deadline_ms
        self._body_wait_s = body_wait_s

    async def __call__(self, scope: Scope_, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._behind(scope, receive, send)
            return
        waiting = _Awaited()
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("POST")  # noqa: TRY301 - as all that is refused
            admitted = self._admitted(scope["headers"], self._lag.ms)
            body = await body_of(admitted.headers, receive, self._body_wait_s)
        except RequestProblem as problem:
            self._refuse(problem, waiting)
        except ClientGone:
            self._telemetry.count("requests_refused", "499")
            return
        except Exception as error:  # noqa: BLE001 - answered as a problem, like any other
            self._fail(error, waiting)
        else:
            self._gathering.add(_Arrived((), body, waiting, self._clock.monotonic(), 0.0, admitted))
        status, headers, content = await waiting.answered
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": content})

    def take(self, headers: Sequence[tuple[bytes, bytes]], body: bytes, waiting: Waiting) -> None:
        """Answer one request that is there as a whole.

        It is not looked at before its batch begins: what arrives must be taken quickly. Nothing is
        decided for those who have hung up by then.

        Args:
            headers: names in lower case.
            body: of at most `BODY_BYTES_MAX`.
            waiting: is told once, later, unless he hangs up.
        """
        self._gathering.add(_Arrived(headers, body, waiting, self._clock.monotonic(), self._lag.ms))

    def waiting_ms(self) -> float:
        """How long the oldest of those that have not begun has waited."""
        oldest = self._gathering.oldest
        return 0.0 if oldest is None else (self._clock.monotonic() - oldest.arrived_s) * 1_000

    def _admitted(self, raw: Sequence[tuple[bytes, bytes]], spent_ms: float) -> _Admitted:
        """Whose request it is, and until when it has to be answered."""
        headers = headers_of(raw)
        caller = self._keys().authenticate(headers.get(b"x-api-key"), Scope.DECIDE)
        asked_ms = read_deadline_ms(headers.get(b"x-deadline-ms"))
        deadline_ms = min(asked_ms or self._deadline_ms, self._deadline_ms)
        deadline = Deadline.after(
            budget_ms=deadline_ms, clock=self._clock, already_spent_ms=spent_ms
        )
        retry = read_retry(headers.get(b"x-attempt-retry"))
        check_media_type(headers)
        return _Admitted(headers, caller, deadline, deadline_ms, retry)

    async def _decide(self, batch: list[_Arrived]) -> None:
        """Read requests that begin together, and have them decided."""
        asked = [one for one in map(self._asked, batch) if one is not None]
        if asked:
            await self._decider().decide(asked, behind=self._gathering.behind)

    def _asked(self, arrived: _Arrived) -> Asked | None:
        """The attempt that a request is about; None where it was refused, or nobody waits."""
        waiting = arrived.waiting
        if self._gone(arrived):
            return None
        try:
            waited_ms = (self._clock.monotonic() - arrived.arrived_s) * 1_000
            admitted = arrived.admitted or self._admitted(
                arrived.headers, arrived.spent_ms + waited_ms
            )
            attempt, canonical = read_attempt(arrived.body)
            return self._decider().asked(
                attempt,
                canonical,
                caller=admitted.caller,
                deadline=admitted.deadline,
                deadline_ms=admitted.deadline_ms,
                retry=admitted.retry,
                trace=read_trace(admitted.headers.get(b"traceparent")),
                told=partial(self._told, waiting),
            )
        except RequestProblem as problem:
            self._refuse(problem, waiting)
        except Exception as error:  # noqa: BLE001 - of this request, not of the others
            self._fail(error, waiting)
        return None

    def _gone(self, arrived: _Arrived) -> bool:
        """Whether nobody waits for a request any more, which then is the end of it."""
        if arrived.waiting.disconnected:
            self._telemetry.count("requests_refused", "499")
            return True
        return False

    def _late(self, arrived: _Arrived) -> bool:
        """Whether a request has waited for so long that haste no longer helps."""
        waited_ms = (self._clock.monotonic() - arrived.arrived_s) * 1_000
        return arrived.spent_ms + waited_ms > LATE * self._deadline_ms

    def _told(self, waiting: Waiting, result: Answered | Exception) -> None:
        """Hand an answer over."""
        if isinstance(result, RequestProblem):
            self._refuse(result, waiting)
        elif isinstance(result, Exception):
            self._fail(result, waiting)
        else:
            answer, body = result
            self._telemetry.answered(answer.rung, answer.action, answer.took_ms)
            waiting.respond(Answer(200, (JSON, _length(body)), body))

    def _refuse(self, problem: RequestProblem, waiting: Waiting) -> None:
        self._telemetry.count("requests_refused", str(problem.status))
        body = problem.body(PATH)
        waiting.respond(Answer(problem.status, (PROBLEM, *problem.headers, _length(body)), body))

    def _fail(self, error: Exception, waiting: Waiting) -> None:
        """A bug that cost an answer: the one thing that must never happen."""
        log.error("an attempt was not decided", exc_info=error)
        self._telemetry.count("bugs", "front")
        body = Failed("The attempt was not decided: a fault of the service.").body(PATH)
        waiting.respond(Answer(500, (PROBLEM, _length(body)), body))


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
