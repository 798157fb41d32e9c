from __future__ import annotations

import random

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from app.streams.aws import (
    BACKOFF_S,
    BACKOFF_S_MAX,
    FAILURES_TO_OPEN,
    AwsCalls,
    ExpiredIterator,
    RetryBudget,
    TryAgain,
)
from app.streams.interface import StreamUnavailable


def refusal(code, status=400):
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "operation"
    )


THROTTLED = refusal("ProvisionedThroughputExceededException")
AWAY = ConnectTimeoutError(endpoint_url="kinesis")


class Service:
    """Raises its errors, one a call, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def method(self, **arguments):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return arguments


class Sleeps(list):
    def __call__(self, seconds):
        self.append(seconds)


def calls(**options):
    options = {"budget": RetryBudget(), "rng": random.Random(1), "sleep": Sleeps()} | options
    return AwsCalls("kinesis", **options)


# The budget.


def test_a_budget_lends_its_burst_and_then_no_more():
    budget = RetryBudget(ratio=0.1, burst=3)
    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]
    assert budget.refused == 2


def test_successes_earn_a_share_of_a_retry():
    budget = RetryBudget(ratio=0.25, burst=1)
    assert budget.spend()
    for _ in range(3):
        budget.earn()
        assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_a_budget_holds_no_more_than_its_burst():
    budget = RetryBudget(ratio=1, burst=2)
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("options", [{"ratio": -0.1}, {"ratio": 1.1}, {"burst": 0.5}])
def test_a_budget_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="budget"):
        RetryBudget(**options)


# Retries.


def test_a_call_that_works_is_made_once():
    service = Service()
    assert calls().call(service.method, Limit=1) == {"Limit": 1}
    assert service.calls == 1


@pytest.mark.parametrize("error", [THROTTLED, AWAY, refusal("InternalFailure", 500)])
def test_what_may_pass_is_tried_again(error):
    service = Service(error, error)
    assert calls().call(service.method) == {}
    assert service.calls == 3


@pytest.mark.parametrize("error", [refusal("AccessDeniedException"), NoCredentialsError()])
def test_what_will_not_pass_is_not_tried_again(error):
    service = Service(error)
    with pytest.raises(StreamUnavailable):
        calls().call(service.method)
    assert service.calls == 1


def test_an_expired_iterator_is_told_apart():
    with pytest.raises(ExpiredIterator):
        calls().call(Service(refusal("ExpiredIteratorException")).method)


def test_a_bug_is_not_taken_for_an_outage():
    with pytest.raises(ZeroDivisionError):
        calls().call(Service(ZeroDivisionError()).method)


def test_retries_end_with_the_budget():
    service = Service(*[THROTTLED] * 100)
    budget = RetryBudget(burst=4)
    with pytest.raises(TryAgain):
        calls(budget=budget).call(service.method)
    assert service.calls == 5
    assert budget.refused == 1


def test_no_attempt_is_begun_after_its_time():
    service, sleeps = Service(THROTTLED), Sleeps()
    with pytest.raises(TryAgain):
        calls(retry_s_max=0.0, sleep=sleeps).call(service.method)
    assert service.calls == 1
    assert sleeps == []


def test_waits_are_drawn_below_a_bound_that_doubles():
    sleeps = Sleeps()
    calls(sleep=sleeps, retry_s_max=60.0).call(Service(*[THROTTLED] * 8).method)
    bounds = [min(BACKOFF_S * 2**number, BACKOFF_S_MAX) for number in range(8)]
    assert all(0 <= wait <= bound for wait, bound in zip(sleeps, bounds, strict=True))
    assert len(set(sleeps)) == 8


# The breaker.


@pytest.mark.parametrize("error", [AWAY, refusal("ServiceUnavailable", 503)])
def test_no_answer_and_server_errors_open_the_breaker(error):
    service, client = Service(*[error] * 100), calls()
    for _ in range(FAILURES_TO_OPEN + 3):
        with pytest.raises(StreamUnavailable):
            client.once(service.method)
    assert service.calls == FAILURES_TO_OPEN


@pytest.mark.parametrize(
    "error", [THROTTLED, refusal("AccessDeniedException"), refusal("ExpiredIteratorException")]
)
def test_an_answer_does_not_open_the_breaker(error):
    service, client = Service(*[error] * 20), calls()
    for _ in range(20):
        with pytest.raises((StreamUnavailable, ExpiredIterator)):
            client.once(service.method)
    assert client.once(service.method) == {}


def test_an_open_breaker_is_not_tried_again():
    service, sleeps = Service(*[AWAY] * 100), Sleeps()
    client = calls(sleep=sleeps)
    for _ in range(3):
        with pytest.raises(StreamUnavailable):
            client.call(service.method)
    assert service.calls == FAILURES_TO_OPEN
    assert len(sleeps) == FAILURES_TO_OPEN - 1
