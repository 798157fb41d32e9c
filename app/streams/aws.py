"""Calls of AWS in the background: short waits, one layer of retries with a budget, a breaker.

    retries (time and budget bound) > breaker > boto3 (timeouts, no retries of its own)

Retries on top of retries multiply under an outage, so the client library's own are off. The
breaker counts what says that the service is down (no connection, timeout, 5xx); throttling and
refusals are answers. pybreaker is synchronous and counts consecutive failures on the wall clock,
which does here, off the decision path.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
)
from botocore.exceptions import ConnectionError as NoConnection
from pybreaker import CircuitBreaker, CircuitBreakerError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay

from app.streams.interface import StreamUnavailable

__all__ = ["CONFIG", "AwsCalls", "ExpiredIterator", "RetryBudget", "TryAgain"]

CONFIG = Config(
    connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1}
)
BACKOFF_S = 0.05
BACKOFF_S_MAX = 1.0
FAILURES_TO_OPEN = 5
OPEN_S = 5.0

_THROTTLED = frozenset(
    {
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
    }
)

T = TypeVar("T")


class TryAgain(StreamUnavailable):
    """Throttled, refused in part or not answered: worth another attempt soon."""


class ExpiredIterator(Exception):  # noqa: N818 - a state, said as one
    """A shard iterator was not used for five minutes; another one has to be asked for."""


class RetryBudget:
    """A token bucket that lets retries be a bounded share of the calls.

    A retry takes one token, a success gives `ratio` of one, up to `burst`. So in an outage there
    are `burst` retries and then none, and amplification stays below 1 + `ratio` in the long run.
    The bucket starts full.

    Attributes:
        refused: retries that there was no token for.
    """

    def __init__(self, *, ratio: float = 0.1, burst: float = 10.0) -> None:
        if not 0 <= ratio <= 1 or burst < 1:
            raise ValueError("a retry budget has a ratio in [0, 1] and a burst of at least 1")
        self.refused = 0
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        """A call succeeded."""
        self._tokens = min(self._tokens + self._ratio, self._burst)

    def spend(self) -> bool:
        """Whether one more retry may be made; takes its token."""
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True


class AwsCalls:
    """Makes the calls of one AWS client. For one thread."""

    def __init__(
        self,
        name: str,
        *,
        budget: RetryBudget,
        rng: random.Random,
        sleep: Callable[[float], None],
        retry_s_max: float = 2.0,
    ) -> None:
        """Make the caller.

        Args:
            name: of the service, for its breaker.
            budget: of retries.
            rng: draws the jitter.
            sleep: waits, seconds.
            retry_s_max: no attempt is begun later than this after the first.
        """
        self._budget = budget
        self._rng = rng
        self._breaker = CircuitBreaker(
            name=name, fail_max=FAILURES_TO_OPEN, reset_timeout=OPEN_S, exclude=[_is_answer]
        )
        self._retrying = Retrying(
            sleep=sleep,
            stop=lambda state: stop_before_delay(retry_s_max)(state) or not budget.spend(),
            wait=self._backoff_s,
            retry=retry_if_exception_type(TryAgain),
            reraise=True,
        )

    def call(self, method: Callable[..., T], /, **arguments: Any) -> T:
        """Call a method of the client, again where that is worth it.

        Raises:
            StreamUnavailable: it did not work.
            ExpiredIterator: the iterator has to be renewed.
        """
        return self.retrying(lambda: self.once(method, **arguments))

    def retrying(self, attempt: Callable[[], T]) -> T:
        """Make an attempt until it does not raise `TryAgain`, within time and budget."""
        result = self._retrying(attempt)
        self._budget.earn()
        return result

    def once(self, method: Callable[..., T], /, **arguments: Any) -> T:
        """Call a method of the client once.

        Raises:
            TryAgain: throttled, or not answered.
            StreamUnavailable: the breaker is open, or the call was refused.
            ExpiredIterator: the iterator has to be renewed.
        """
        try:
            return self._breaker.call(method, **arguments)
        except CircuitBreakerError as error:
            raise StreamUnavailable(f"{self._breaker.name}: {error}") from error
        except (NoConnection, HTTPClientError) as error:
            raise TryAgain(str(error)) from error
        except ClientError as error:
            if _code(error) == "ExpiredIteratorException":
                raise ExpiredIterator(str(error)) from error
            worth_it = _code(error) in _THROTTLED or not _is_answer(error)
            raise (TryAgain if worth_it else StreamUnavailable)(str(error)) from error
        except BotoCoreError as error:
            raise StreamUnavailable(str(error)) from error

    def _backoff_s(self, state: RetryCallState) -> float:
        """Full jitter: uniform between nothing and a bound that doubles."""
        bound_s = min(BACKOFF_S * 2 ** (state.attempt_number - 1), BACKOFF_S_MAX)
        return self._rng.uniform(0, bound_s)


def _is_answer(error: BaseException) -> bool:
    """Whether the service answered, be it with a refusal: no evidence that it is down."""
    if not isinstance(error, ClientError):
        return False
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status < 500


def _code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code
