"""What a count of failures proves: the exact one-sided lower bound of Clopper and Pearson.

With k failures among n, the bound is the availability p below which as few as k failures would
have been seen in at most one run of twenty:

    P(at most k failures among n | p) = 0.05

A hundred thousand answered requests prove no more than this, and requests of one outage hang
together: so the bound over episodes stands beside the one over requests.

Source: C. Clopper and E. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

import math

__all__ = ["CONFIDENCE", "availability_lower"]

CONFIDENCE = 0.95
_HALVINGS = 80


def availability_lower(requests: int, failed: int, *, confidence: float = CONFIDENCE) -> float:
    """Lower bound of the share that succeeds.

    Args:
        requests: that were sent, >= 0.
        failed: of them, >= 0.
        confidence: one-sided, in (0, 1).

    Returns:
        A share in [0, 1]; 0 where nothing was sent or everything failed.

    Raises:
        ValueError: more failed than were sent.
    """
    if not 0 <= failed <= requests:
        raise ValueError(f"{failed} of {requests} requests cannot have failed")
    if failed == requests:
        return 0.0
    if failed == 0:
        return math.exp(math.log1p(-confidence) / requests)
    low, high = failed / requests, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(failed, requests, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return 1 - high


def _at_most(failed: int, requests: int, failure: float) -> float:
    """Probability of at most so many failures, each with probability `failure` in (0, 1)."""
    if failure >= 1:
        return 0.0
    log_failure, log_success = math.log(failure), math.log1p(-failure)
    logs = [
        math.lgamma(requests + 1)
        - math.lgamma(count + 1)
        - math.lgamma(requests - count + 1)
        + count * log_failure
        + (requests - count) * log_success
        for count in range(failed + 1)
    ]
    top = max(logs)
    return math.exp(top) * math.fsum(math.exp(one - top) for one in logs)
