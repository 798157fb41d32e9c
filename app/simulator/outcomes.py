"""Outcomes: what the issuer and the merchant did with each attempt, and when.

attempt -> issuer_declined
-> authorised -> reversed
-> captured -> refunded
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, HOUR_MS, MINUTE_MS, Bools, Ints, Random, chance, draw
from app.simulator.attempts import Attempts
from app.simulator.campaigns import NEW_PATTERN, PATTERNS
from app.simulator.checks import CVV, Checks
from app.simulator.details import DELIVERIES, KINDS, Details

__all__ = ["DECLINED", "ISSUER_CODES", "OUTCOME_KINDS", "Outcomes", "draw_outcomes"]

OUTCOME_KINDS = ("authorised", "issuer_declined", "captured", "refunded", "reversed")
_AUTHORISED, _DECLINED, _CAPTURED, _REFUNDED, _REVERSED = range(5)

# Share of attempts that the issuer declines, by pattern, before the security code is looked at.
DECLINED = {
    "genuine": 0.06,
    "card_testing": 0.50,
    "stolen_card": 0.28,
    "merchant_compromise": 0.12,
    "account_takeover": 0.12,
    "device_farm": 0.30,
    "friendly_fraud": 0.0,  # what was declined cannot be disputed
    NEW_PATTERN: 0.12,
}
_WRONG_CVV = 0.35  # declined besides, where the security code does not match
# ISO 8583 response codes: do not honour, invalid number, lost, stolen, no funds, expired,
# suspected fraud, over the limit, wrong security code.
ISSUER_CODES = ("05", "14", "41", "43", "51", "54", "59", "61", "N7")
_GENUINE_CODES = (0.30, 0.02, 0.01, 0.00, 0.46, 0.07, 0.02, 0.10, 0.02)
_FRAUD_CODES = (0.30, 0.12, 0.08, 0.12, 0.08, 0.04, 0.16, 0.05, 0.05)

_REVERSED_SHARE = 0.012  # of authorised attempts
_CAPTURED_SHARE = 0.98  # of the others
_REFUNDED_SHARE = 0.03  # of captured ones; by an amount below the whole for a third of them
_PARTIAL_SHARE = 1 / 3
# Median and spread of the logarithm.
_AUTHORISED_AFTER_MS = (450, 0.5)
_REVERSED_AFTER_MS = (20 * MINUTE_MS, 1.0)
_CAPTURED_AFTER_MS = (20 * HOUR_MS, 0.6)  # with the parcel; what is digital at once
_CAPTURED_AT_ONCE_MS = (2_000, 0.6)
_REFUNDED_AFTER_MS = (8 * DAY_MS, 0.6)
_PASSED_ON_MS = (150, 0.5)  # from what happened to its receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """One row an outcome, sorted by receipt.

    Attributes:
        attempt: row of the attempt.
        kind: position in `OUTCOME_KINDS`; at most one of each for an attempt.
        code: position in `ISSUER_CODES`, of declined ones.
        occurred_ms: UTC milliseconds.
        received_ms: UTC milliseconds.
        cents: what it is about.
    """

    attempt: Ints
    kind: Ints
    code: Ints
    occurred_ms: Ints
    received_ms: Ints
    cents: Ints


def draw_outcomes(
    rng: Random, attempts: Attempts, details: Details, checks: Checks
) -> tuple[Outcomes, Bools, Bools]:
    """Draw what became of some attempts; those later than the simulation's end are kept.

    Returns:
        The outcomes, which attempts the issuer declined, and which were captured.
    """
    size = len(attempts.at_ms)
    free = details.kind == KINDS.index("verification")
    cents = np.where(free, 0, attempts.cents)
    declined = _declined(rng, attempts, checks)
    answered_ms = attempts.at_ms + _delay(rng, _AUTHORISED_AFTER_MS, size)
    reversed_ = ~declined & chance(rng, _REVERSED_SHARE, size)
    captured = ~free & ~declined & ~reversed_ & chance(rng, _CAPTURED_SHARE, size)
    refunded = captured & chance(rng, _REFUNDED_SHARE, size)
    at_once = details.delivery == DELIVERIES.index("digital")
    captured_ms = answered_ms + np.where(
        at_once, _delay(rng, _CAPTURED_AT_ONCE_MS, size), _delay(rng, _CAPTURED_AFTER_MS, size)
    )
    part = np.where(chance(rng, _PARTIAL_SHARE, size), rng.uniform(0.2, 0.9, size), 1.0)
    moments = (
        (_AUTHORISED, ~declined, answered_ms, cents),
        (_DECLINED, declined, answered_ms, cents),
        (_REVERSED, reversed_, answered_ms + _delay(rng, _REVERSED_AFTER_MS, size), cents),
        (_CAPTURED, captured, captured_ms, cents),
        (
            _REFUNDED,
            refunded,
            captured_ms + _delay(rng, _REFUNDED_AFTER_MS, size),
            np.maximum((cents * part).astype(np.int64), 1),
        ),
    )
    rows = [np.flatnonzero(mask) for _, mask, _, _ in moments]
    attempt = np.concatenate(rows)
    occurred_ms = np.concatenate(
        [at[row] for row, (_, _, at, _) in zip(rows, moments, strict=True)]
    )
    received_ms = occurred_ms + _delay(rng, _PASSED_ON_MS, len(attempt))
    order = np.argsort(received_ms, kind="stable")
    return (
        Outcomes(
            attempt=attempt[order],
            kind=np.repeat([kind for kind, *_ in moments], [len(row) for row in rows])[order],
            code=_codes(rng, attempts.pattern[attempt])[order],
            occurred_ms=occurred_ms[order],
            received_ms=received_ms[order],
            cents=np.concatenate([of[row] for row, (*_, of) in zip(rows, moments, strict=True)])[
                order
            ],
        ),
        declined,
        captured,
    )


def _declined(rng: Random, attempts: Attempts, checks: Checks) -> Bools:
    share = np.array([DECLINED[name] for name in PATTERNS])[attempts.pattern]
    wrong = checks.has_cvv & (checks.cvv == CVV.index("no_match"))
    return chance(rng, share + wrong * _WRONG_CVV, len(share))


def _codes(rng: Random, pattern: Ints) -> Ints:
    size = len(pattern)
    return np.where(pattern > 0, draw(rng, _FRAUD_CODES, size), draw(rng, _GENUINE_CODES, size))


def _delay(rng: Random, median_spread: tuple[float, float], size: int) -> Ints:
    """Lognormal delays, whole milliseconds, at least one."""
    median, spread = median_spread
    return 1 + np.asarray(rng.lognormal(np.log(median), spread, size), dtype=np.int64)
