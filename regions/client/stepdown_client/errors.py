"""What goes wrong.

    StepdownError
    |-- InvalidAttemptError     the caller's mistake, seen before anything is sent
    |-- RefusedError            the service refused the attempt, and would do so in every region
    |-- RoutingError            a routing document that is not to be used; the last good one stays
    `-- TryError                one try at one endpoint failed; another one may succeed
        |-- ConnectError        refused, reset, not there in time, no address
        |-- TimedOutError       no answer within the try's time
        |-- ServerError         an answer that is none: 5xx, 429, not found, no JSON
        |-- DeniedError         401 or 403: of a region that has not heard of the key, or of none
        `-- ForgedError         an answer that no region of ours gave to this attempt

A `TryError` never leaves the library: when all tries failed, the client default answers.
"""

from __future__ import annotations

__all__ = [
    "ConnectError",
    "DeniedError",
    "ForgedError",
    "InvalidAttemptError",
    "RefusedError",
    "RoutingError",
    "ServerError",
    "StepdownError",
    "TimedOutError",
    "TryError",
]


class StepdownError(Exception):
    """Base of all."""


class InvalidAttemptError(StepdownError, ValueError):
    """Not an attempt."""


class RefusedError(StepdownError):
    """The service refused the attempt.

    Attributes:
        status: HTTP status.
        detail: why, one sentence.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class RoutingError(StepdownError):
    """A routing document that is not to be used."""


class TryError(StepdownError):
    """One try at one endpoint failed."""

    kind = "error"


class ConnectError(TryError):
    """No connection."""

    kind = "connect"


class TimedOutError(TryError):
    """No answer within the try's time."""

    kind = "timeout"


class ServerError(TryError):
    """An answer that is none."""

    kind = "server"


class DeniedError(TryError):
    """The endpoint does not know the API key, or what it may do.

    Attributes:
        status: HTTP status.
    """

    kind = "denied"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class ForgedError(TryError):
    """An answer that is not a region's, or to something else."""

    kind = "forged"
