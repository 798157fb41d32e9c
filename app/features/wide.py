"""The wide set: 340 inputs, for platforms that keep everything and for measuring what width costs.

The reference set, and for every entity the same measures over the same windows, as feature
factories make them.
"""

from __future__ import annotations

from app.features.events import Counted
from app.features.reference import REFERENCE, before_withdrawals
from app.features.rings import Ring
from app.features.spec import (
    DAY_MS,
    HOUR_MS,
    Aggregate,
    Counter,
    Entity,
    Feature,
    FeatureSet,
)

__all__ = ["INPUTS", "WIDE"]

# Numeric inputs and request categories together.
INPUTS = 340

_WINDOWS = {
    "1h": HOUR_MS,
    "6h": 6 * HOUR_MS,
    "24h": DAY_MS,
    "3d": 3 * DAY_MS,
    "7d": 7 * DAY_MS,
    "14d": 14 * DAY_MS,
    "30d": 30 * DAY_MS,
}
_MEASURES = {
    "attempted": Counted.ATTEMPTED,
    "authorised": Counted.AUTHORISED,
    "issuer_declined": Counted.ISSUER_DECLINED,
    "declined": Counted.DECLINED,
    "stepped_up": Counted.STEPPED_UP,
    "fraud": Counted.FRAUD,
    "amount": Counted.ATTEMPTED,
}
# The entities, and the reason code of what they are seen to do.
_CODES = {
    Entity.CARD: "CARD_ACTIVITY",
    Entity.MERCHANT: "MERCHANT_PROFILE",
    Entity.DEVICE: "VELOCITY_DEVICE",
    Entity.IP: "VELOCITY_IP",
    Entity.EMAIL: "EMAIL_MANY_ACCOUNTS",
    Entity.CUSTOMER: "CARD_ACTIVITY",
    Entity.TERMINAL: "MERCHANT_PROFILE",
    Entity.BIN: "VELOCITY_BIN",
}


def _made(kept: int) -> tuple[Counter, ...]:
    """As many further counters as are wanted, spread over entities before windows."""
    names = {counter.name for counter in REFERENCE.counters}
    made: list[Counter] = []
    for measure, counted in _MEASURES.items():
        for window, window_ms in _WINDOWS.items():
            for entity in _CODES:
                name = f"{entity}_{measure}_{window}"
                if name in names or len(made) == kept:
                    continue
                made.append(
                    Counter(
                        name=name,
                        entity=entity,
                        ring=Ring(window_ms=window_ms),
                        aggregate=Aggregate.SUM if measure == "amount" else Aggregate.COUNT,
                        counts=counted,
                    )
                )
    return tuple(made)


def _wide() -> FeatureSet:
    reference = len(REFERENCE.numbers) + len(REFERENCE.request_categories)
    made = _made(INPUTS - reference)
    features = tuple(
        Feature(
            name=c.name,
            description=f"{c.aggregate} over the window in the name",
            code=_CODES[c.entity],
            owner="ml",
        )
        for c in made
    )
    return FeatureSet(
        name="wide",
        schema=0x103,
        counters=(*REFERENCE.counters, *made),
        features=(*REFERENCE.features, *features),
        batch_counters=REFERENCE.batch_counters,
        batch_features=REFERENCE.batch_features,
        request_numbers=REFERENCE.request_numbers,
        request_categories=REFERENCE.request_categories,
        previous=(*before_withdrawals(REFERENCE.counters), *made),
    )


WIDE = _wide()
