"""One try at one endpoint: ask, verify the answer, and enter how the endpoint did."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepdown_client.answer import Answer, read_answer
from stepdown_client.attempt import body_hash
from stepdown_client.clock import Clock
from stepdown_client.errors import ForgedError, ServerError, TryError
from stepdown_client.events import Listener, TryFailed
from stepdown_client.pool import Endpoint, Pool
from stepdown_client.routing import RoutingTable
from stepdown_client.settings import ClientSettings
from stepdown_client.transport import Transport

__all__ = ["Asker", "Question"]

# What the service lets a caller ask for.
DEADLINE_MS_MIN, DEADLINE_MS_MAX = 20, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, the same at every try.

    Attributes:
        attempt_id: of the attempt.
        body: its canonical bytes.
        traceparent: W3C trace context.
        identity: hash of the body, which the answer is bound to.
    """

    attempt_id: str
    body: bytes
    traceparent: str | None = None
    identity: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", body_hash(self.body))

    def headers(self, number: int, left_ms: float) -> dict[str, str]:
        """Of a try: how often it was sent before, and the deadline where little is left."""
        headers = {} if self.traceparent is None else {"traceparent": self.traceparent}
        if number:
            headers["X-Attempt-Retry"] = str(number)
        if left_ms < DEADLINE_MS_MAX:
            headers["X-Deadline-Ms"] = str(max(DEADLINE_MS_MIN, int(left_ms)))
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks endpoints."""

    settings: ClientSettings
    pool: Pool
    transport: Transport
    table: RoutingTable
    clock: Clock
    tell: Listener

    async def ask(
        self, endpoint: Endpoint, question: Question, *, number: int, left_ms: float
    ) -> Answer:
        """Ask one endpoint.

        Args:
            endpoint: to ask.
            question: what.
            number: how often it was sent before.
            left_ms: until the caller's deadline; the try may take longer, see `flight`.

        Raises:
            TryError: it did not answer.
            RefusedError: it refuses the attempt.
        """
        endpoint.tries += 1
        started_s = self.clock.monotonic()
        address = ""
        try:
            reply = await self.transport.post(
                endpoint,
                "/v1/decisions",
                question.body,
                timeout_ms=endpoint.try_ms(self.settings.service_deadline_ms),
                headers=question.headers(number, left_ms),
            )
            address = reply.address
            answer = self._verified(reply.content, question)
        except TryError as error:
            self._failed(endpoint, question, error)
            if isinstance(error, ForgedError):
                self.transport.distrust(endpoint, address)
            raise
        if answer.signed:
            self.transport.confirm(endpoint, address)
        took_ms = (self.clock.monotonic() - started_s) * 1_000
        self.pool.answered(endpoint, took_ms, answer.took_ms)
        return answer

    def _verified(self, content: bytes, question: Question) -> Answer:
        if self.table.answer_key is None and self.settings.require_signed:
            raise ServerError("there is no routing document to verify the answer by")
        return read_answer(
            content,
            attempt_id=question.attempt_id,
            body=question.body,
            body_hash=question.identity,
            key=self.table.answer_key,
            now_s=self.clock.wall(),
        )

    def _failed(self, endpoint: Endpoint, question: Question, error: TryError) -> None:
        self.pool.failed(endpoint, error.kind)
        self.tell(
            TryFailed(
                region=endpoint.region,
                attempt_id=question.attempt_id,
                kind=error.kind,
                detail=str(error),
            )
        )
