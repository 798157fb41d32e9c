"""Labels: what becomes known of the fraud, from whom, when, and what is taken back.

Each source has a delay of its own, and so a curve of its own along which fraud becomes known. A
few genuine attempts are taken for fraud, too; most of these labels, and a few right ones, are
corrected later. Labels that arrive after the last day are kept: who reads them cuts at the time
of reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, Bools, Ints, Random, chance, concat, draw, take
from app.simulator.campaigns import PATTERNS
from app.simulator.instruments import BRANDS

__all__ = ["DELAYS", "LABELS", "SOURCES", "Labels", "Settled", "draw_labels", "reason_of"]

LABELS = ("fraud", "not_fraud", "withdrawn")
_FRAUD, _NOT_FRAUD, _WITHDRAWN = range(3)
SOURCES = ("chargeback", "early_alert", "review", "customer")
_CHARGEBACK, _EARLY_ALERT, _REVIEW, _CUSTOMER = range(4)
_SOURCE_WEIGHTS = (0.16, 0.48, 0.13, 0.23)
_FRIENDLY_SOURCES = (0.75, 0.0, 0.0, 0.25)
# Nobody disputes what was not paid: the issuer tells, or a review finds it with the others.
_DECLINED_SOURCES = (0.0, 0.55, 0.45, 0.0)
# Days from the attempt until the source raises it, and from there until the label arrives: median
# and spread of the logarithm.
DELAYS = {
    "chargeback": ((14.0, 0.5), (3.0, 0.4)),
    "early_alert": ((1.5, 0.6), (0.6, 0.5)),
    "review": ((0.8, 0.6), (0.05, 0.5)),
    "customer": ((2.0, 0.7), (0.3, 0.6)),
}
_FRIENDLY_LATER = 2.0  # times as late: the statement has to come, and the goods to be used
# Small test charges are often never disputed, and what was declined is seldom looked at.
_NEVER_LABELLED = {"genuine": 1.0, "card_testing": 0.22, "stolen_card": 0.08}
_NEVER_OF_OTHERS = 0.10
_DECLINED_NEVER = 0.5

_FALSE_SHARE = 0.03  # labels of genuine attempts as fraud, of all that say so
_FALSE_CORRECTED, _RIGHT_CORRECTED = 0.75, 0.01
_CLEARED_SHARE = 0.001  # genuine attempts that a review finds genuine
_CORRECTED_DAYS = (4.0, 0.6)
_FRAUD_CODES = ("10.4", "4837", "F29")  # by brand: not done by the cardholder
_FRIENDLY_CODES = ("13.1", "4853", "C08")  # not received, or not as described


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What labels depend on, one row an attempt of the whole simulation.

    Attributes:
        at_ms: receipt, UTC milliseconds.
        pattern: position in `campaigns.PATTERNS`.
        brand: of the card, position in `instruments.BRANDS`.
        declined: by the issuer.
    """

    at_ms: Ints
    pattern: Ints
    brand: Ints
    declined: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """One row a label, sorted by arrival.

    Attributes:
        attempt: row number of the attempt.
        label: position in `LABELS`.
        source: position in `SOURCES`.
        event_ms: when the source raised it, UTC milliseconds.
        arrived_ms: when it arrived, UTC milliseconds.
    """

    attempt: Ints
    label: Ints
    source: Ints
    event_ms: Ints
    arrived_ms: Ints


def draw_labels(rng: Random, settled: Settled) -> Labels:
    """Draw labels and their corrections; at most one label of fraud for an attempt."""
    right = _raised(rng, settled, _reported(rng, settled))
    genuine = np.flatnonzero((settled.pattern == 0) & ~settled.declined)
    wrongly = round(len(right.attempt) * _FALSE_SHARE / (1 - _FALSE_SHARE))
    drawn = rng.permutation(genuine)[: wrongly + int(len(genuine) * _CLEARED_SHARE)]
    if not len(right.attempt):
        drawn, wrongly = drawn[:0], 0
    wrong = _raised(rng, settled, drawn[:wrongly])
    cleared = _cleared(rng, settled, drawn[wrongly:])
    parts = [
        right,
        wrong,
        cleared,
        _corrections(rng, wrong, _FALSE_CORRECTED),
        _corrections(rng, right, _RIGHT_CORRECTED),
    ]
    labels = concat(parts)
    order: Ints = np.argsort(labels.arrived_ms, kind="stable")
    return take(labels, order)


def reason_of(labels: Labels, settled: Settled) -> list[str | None]:
    """Reason code of each label, as its source gives it; None for those that give none."""
    brand = settled.brand[labels.attempt].tolist()
    friendly = (settled.pattern[labels.attempt] == PATTERNS.index("friendly_fraud")).tolist()
    rows = zip(labels.label.tolist(), labels.source.tolist(), brand, friendly, strict=True)
    return [_reason(*row) for row in rows]


def _reason(label: int, source: int, brand: int, friendly: bool) -> str | None:
    if label != _FRAUD:
        return "recognised" if label == _WITHDRAWN else "confirmed_genuine"
    if source == _CHARGEBACK:
        return (_FRIENDLY_CODES if friendly else _FRAUD_CODES)[brand]
    if source == _EARLY_ALERT:
        return {"visa": "TC40", "mastercard": "SAFE"}.get(BRANDS[brand])
    if source == _CUSTOMER:
        return "not_received" if friendly else "not_mine"
    return "manual_review"


def _reported(rng: Random, settled: Settled) -> Ints:
    """Rows of the fraud that somebody reports."""
    rows = np.flatnonzero(settled.pattern > 0)
    share = [_NEVER_LABELLED.get(name, _NEVER_OF_OTHERS) for name in PATTERNS]
    never = chance(rng, np.array(share)[settled.pattern[rows]], len(rows))
    overlooked = settled.declined[rows] & chance(rng, _DECLINED_NEVER, len(rows))
    return rows[~never & ~overlooked]


def _raised(rng: Random, settled: Settled, rows: Ints) -> Labels:
    """A label of fraud for each row."""
    size = len(rows)
    friendly = settled.pattern[rows] == PATTERNS.index("friendly_fraud")
    source = np.where(
        settled.declined[rows],
        draw(rng, _DECLINED_SOURCES, size),
        np.where(friendly, draw(rng, _FRIENDLY_SOURCES, size), draw(rng, _SOURCE_WEIGHTS, size)),
    )
    later = np.where(friendly, _FRIENDLY_LATER, 1.0)
    event_ms = settled.at_ms[rows] + (_delay_ms(rng, 0, source) * later).astype(np.int64)
    return Labels(
        attempt=rows,
        label=np.full(size, _FRAUD),
        source=source,
        event_ms=event_ms,
        arrived_ms=event_ms + _delay_ms(rng, 1, source),
    )


def _cleared(rng: Random, settled: Settled, rows: Ints) -> Labels:
    """Genuine attempts that a review looked at."""
    source = np.full(len(rows), _REVIEW)
    event_ms = settled.at_ms[rows] + _delay_ms(rng, 0, source)
    return Labels(
        attempt=rows,
        label=np.full(len(rows), _NOT_FRAUD),
        source=source,
        event_ms=event_ms,
        arrived_ms=event_ms + _delay_ms(rng, 1, source),
    )


def _corrections(rng: Random, labels: Labels, share: float) -> Labels:
    """For a share of the labels a later one: not fraud, by a review, or withdrawn by its source."""
    corrected = take(labels, chance(rng, share, len(labels.attempt)))
    size = len(corrected.attempt)
    withdrawn = chance(rng, 0.5, size)
    median, spread = _CORRECTED_DAYS
    after = (rng.lognormal(np.log(median), spread, size) * DAY_MS).astype(np.int64)
    source = np.where(withdrawn, corrected.source, _REVIEW)
    event_ms = corrected.arrived_ms + after
    return Labels(
        attempt=corrected.attempt,
        label=np.where(withdrawn, _WITHDRAWN, _NOT_FRAUD),
        source=source,
        event_ms=event_ms,
        arrived_ms=event_ms + _delay_ms(rng, 1, source),
    )


def _delay_ms(rng: Random, step: int, source: Ints) -> Ints:
    """Lognormal delays of one of the two steps, milliseconds, at least one."""
    median, spread = np.array([DELAYS[name][step] for name in SOURCES]).T
    days_late = rng.lognormal(np.log(median[source]), spread[source])
    return np.maximum(np.asarray(days_late * DAY_MS, dtype=np.int64), 1)
