"""The reference set: what a platform starts with, about 40 numeric inputs.

What carries accuracy on public data are the merchant's labels by arrival time, the amount against
the card's own mean and deviation, and how often the card was far above it lately; short windows
and degrees of identity links carry velocity fraud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.features.events import Counted
from app.features.rings import Ring
from app.features.spec import (
    DAY_MS,
    HOUR_MS,
    Aggregate,
    Counter,
    Entity,
    Feature,
    FeatureSet,
    Formula,
    RequestInput,
)

__all__ = [
    "HOT_LABELS",
    "HOT_RATE",
    "LARGE_RATIO",
    "MATURITY_MS",
    "RATIO_INPUT",
    "RATIO_INPUT_EOD",
    "REFERENCE",
    "before_withdrawals",
]

HOUR = Ring(window_ms=HOUR_MS)
DAY = Ring(window_ms=DAY_MS)
THREE_DAYS = Ring(window_ms=3 * DAY_MS)
WEEK = Ring(window_ms=7 * DAY_MS)
FORTNIGHT = Ring(window_ms=14 * DAY_MS)
FOUR_WEEKS = Ring(window_ms=28 * DAY_MS)
MONTH = Ring(window_ms=30 * DAY_MS)

# By this age most of the fraud among attempts has been labelled: from then on an attempt counts in
# the denominator of a label rate. A lagging ring does what an event per attempt, a week later,
# would do.
MATURITY_MS = 7 * DAY_MS
MATURED_WEEK = Ring(window_ms=7 * DAY_MS, lag_ms=MATURITY_MS)
MATURED_FOUR_WEEKS = Ring(window_ms=28 * DAY_MS, lag_ms=MATURITY_MS)

# Asked at a midnight, a ring of day buckets is the exact window of whole days before it.
WHOLE_DAY = Ring(window_ms=DAY_MS, buckets=1)
WHOLE_THREE_DAYS = Ring(window_ms=3 * DAY_MS, buckets=3)
WHOLE_WEEK = Ring(window_ms=7 * DAY_MS, buckets=7)
WHOLE_FORTNIGHT = Ring(window_ms=14 * DAY_MS, buckets=14)
WHOLE_FOUR_WEEKS = Ring(window_ms=28 * DAY_MS, buckets=28)
WHOLE_MONTH = Ring(window_ms=30 * DAY_MS, buckets=30)
WHOLE_MATURED_FOUR_WEEKS = Ring(window_ms=28 * DAY_MS, buckets=28, lag_ms=MATURITY_MS)

# A merchant is hot with as many labels in a week, and as many of those that matured: six times the
# usual rate, after shrinking. A small merchant has a payment a day, so more labels come too late.
HOT_LABELS = 3
HOT_RATE = 0.025

# An attempt is large when its amount is this many times the card's own mean, as far as known.
LARGE_RATIO = 2.5
RATIO_INPUT = "amount_to_card_mean"
RATIO_INPUT_EOD = "amount_to_card_mean_eod"


def _attempted(
    name: str, entity: Entity, ring: Ring, aggregate: Aggregate = Aggregate.COUNT
) -> Counter:
    """Attempts, net of those that another region decided, too, and that were not acted on."""
    return Counter(
        name=name, entity=entity, ring=ring, aggregate=aggregate, minus=Counted.SUPERSEDED
    )


def _large(name: str, ring: Ring) -> Counter:
    """Attempts far above their card's own mean, net alike."""
    return Counter(
        name=name,
        entity=Entity.CARD,
        ring=ring,
        counts=Counted.LARGE,
        minus=Counted.LARGE_SUPERSEDED,
    )


def _linked_fraud(entity: Entity, *via: Entity) -> Counter:
    """Fraud labels of cards one hop away; the attempts make the links."""
    return Counter(
        name=f"{entity}_linked_fraud",
        entity=entity,
        ring=WHOLE_MONTH,
        aggregate=Aggregate.LINKED,
        counts=Counted.ATTEMPTED | Counted.FRAUD,
        minus=Counted.FRAUD_WITHDRAWN,
        via=via,
    )


def _merchant_fraud(window: str, ring: Ring) -> Counter:
    """Fraud labels of a merchant by arrival, net of those that were withdrawn."""
    return Counter(
        name=f"merchant_fraud_{window}",
        entity=Entity.MERCHANT,
        ring=ring,
        counts=Counted.FRAUD,
        minus=Counted.FRAUD_WITHDRAWN,
    )


COUNTERS: tuple[Counter, ...] = (
    _attempted("card_attempted_1h", Entity.CARD, HOUR),
    _attempted("card_attempted_24h", Entity.CARD, DAY),
    _attempted("card_attempted_30d", Entity.CARD, MONTH),
    _attempted("card_amount_24h", Entity.CARD, DAY, Aggregate.SUM),
    _attempted("card_amount_30d", Entity.CARD, MONTH, Aggregate.SUM),
    _attempted("card_squares_30d", Entity.CARD, MONTH, Aggregate.SQUARES),
    _large("card_large_3d", THREE_DAYS),
    _large("card_large_14d", FORTNIGHT),
    Counter(
        name="card_issuer_declined_24h",
        entity=Entity.CARD,
        ring=DAY,
        counts=Counted.ISSUER_DECLINED,
    ),
    Counter(
        name="card_devices_24h",
        entity=Entity.CARD,
        ring=DAY,
        aggregate=Aggregate.DISTINCT,
        of=Entity.DEVICE,
    ),
    Counter(name="card_last", entity=Entity.CARD, ring=MONTH, aggregate=Aggregate.LAST),
    _attempted("merchant_attempted_1h", Entity.MERCHANT, HOUR),
    Counter(
        name="merchant_issuer_declined_1h",
        entity=Entity.MERCHANT,
        ring=HOUR,
        counts=Counted.ISSUER_DECLINED,
    ),
    _merchant_fraud("1d", DAY),
    _merchant_fraud("7d", WEEK),
    _merchant_fraud("28d", FOUR_WEEKS),
    _attempted("merchant_matured_7d", Entity.MERCHANT, MATURED_WEEK),
    _attempted("merchant_matured_28d", Entity.MERCHANT, MATURED_FOUR_WEEKS),
    _attempted("device_attempted_1h", Entity.DEVICE, HOUR),
    Counter(
        name="device_cards_24h",
        entity=Entity.DEVICE,
        ring=DAY,
        aggregate=Aggregate.DISTINCT,
        of=Entity.CARD,
    ),
    _attempted("ip_attempted_1h", Entity.IP, HOUR),
    Counter(
        name="email_customers_7d",
        entity=Entity.EMAIL,
        ring=WEEK,
        aggregate=Aggregate.DISTINCT,
        of=Entity.CUSTOMER,
    ),
    Counter(
        name="bin_issuer_declined_1h",
        entity=Entity.BIN,
        ring=HOUR,
        counts=Counted.ISSUER_DECLINED,
    ),
)


def before_withdrawals(counters: Sequence[Counter]) -> tuple[Counter, ...]:
    """The counters of schema 2: of attempts only those of the last hour could be withdrawn."""
    superseded = Counted.SUPERSEDED | Counted.LARGE_SUPERSEDED
    return tuple(
        replace(counter, minus=Counted.NOTHING)
        if counter.minus & superseded and counter.name != "card_attempted_1h"
        else counter
        for counter in counters
    )


FEATURES: tuple[Feature, ...] = (
    Feature(
        name="card_attempted_1h",
        description="attempts with the card in the last hour",
        code="VELOCITY_CARD",
    ),
    Feature(
        name="card_attempted_24h",
        description="attempts with the card in 24 hours",
        code="VELOCITY_CARD",
    ),
    Feature(
        name="card_amount_24h",
        description="amount attempted with the card in 24 hours, reference minor units",
        code="CARD_SPENDING",
    ),
    Feature(
        name="card_amount_mean_30d",
        formula=Formula.MEAN,
        of=("card_amount_30d", "card_attempted_30d"),
        description="mean amount attempted with the card in 30 days, reference minor units",
        code="CARD_SPENDING",
    ),
    Feature(
        name=RATIO_INPUT,
        formula=Formula.RATIO,
        of=("card_amount_30d", "card_attempted_30d"),
        description="the amount over that mean",
        code="CARD_SPENDING",
    ),
    Feature(
        name="amount_deviation",
        formula=Formula.DEVIATION,
        of=("card_amount_30d", "card_attempted_30d", "card_squares_30d"),
        description="the amount's distance from that mean in standard deviations",
        code="CARD_SPENDING",
    ),
    Feature(
        name="card_large_3d",
        description="attempts over 2.5 times the card's own mean in 3 days",
        code="CARD_SPENDING",
    ),
    Feature(name="card_large_14d", description="the same in 14 days", code="CARD_SPENDING"),
    Feature(
        name="card_issuer_declined_24h",
        description="attempts with the card that its issuer declined in 24 hours",
        owner="payments",
        code="CARD_DECLINED",
    ),
    Feature(
        name="card_devices_24h",
        description="distinct devices of the card in 24 hours (to about 30)",
        code="CARD_ACTIVITY",
    ),
    Feature(
        name="card_since_last_s",
        formula=Formula.SINCE,
        of=("card_last",),
        description="seconds since the card's last attempt",
        code="CARD_ACTIVITY",
    ),
    Feature(
        name="merchant_attempted_1h",
        description="attempts at the merchant in the last hour",
        code="VELOCITY_MERCHANT",
    ),
    Feature(
        name="merchant_issuer_declined_1h",
        description="attempts at the merchant that issuers declined in the last hour",
        owner="payments",
        code="VELOCITY_MERCHANT",
    ),
    Feature(
        name="merchant_fraud_1d",
        description="fraud labels of the merchant that arrived in 24 hours",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_7d",
        description="the same in 7 days",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_28d",
        description="the same in 28 days",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_rate_7d",
        formula=Formula.RATE,
        of=("merchant_fraud_7d", "merchant_matured_7d"),
        description="those of 7 days per attempt that matured in 7 days, shrunk to the usual rate",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_rate_28d",
        formula=Formula.RATE,
        of=("merchant_fraud_28d", "merchant_matured_28d"),
        description="the same over 28 days",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="device_attempted_1h",
        description="attempts from the device in the last hour",
        code="VELOCITY_DEVICE",
    ),
    Feature(
        name="device_cards_24h",
        description="distinct cards used from the device in 24 hours (to about 30)",
        code="DEVICE_MANY_CARDS",
    ),
    Feature(
        name="ip_attempted_1h",
        description="attempts from the IP address in the last hour",
        code="VELOCITY_IP",
    ),
    Feature(
        name="email_customers_7d",
        description="distinct accounts with the e-mail address in 7 days (to about 30)",
        code="EMAIL_MANY_ACCOUNTS",
    ),
    Feature(
        name="bin_issuer_declined_1h",
        description="attempts in the card's BIN that issuers declined in the last hour",
        owner="payments",
        code="VELOCITY_BIN",
    ),
)

BATCH_COUNTERS: tuple[Counter, ...] = (
    _attempted("card_attempted_30d", Entity.CARD, WHOLE_MONTH),
    _attempted("card_amount_30d", Entity.CARD, WHOLE_MONTH, Aggregate.SUM),
    _attempted("card_squares_30d", Entity.CARD, WHOLE_MONTH, Aggregate.SQUARES),
    _large("card_large_3d", WHOLE_THREE_DAYS),
    _large("card_large_14d", WHOLE_FORTNIGHT),
    _merchant_fraud("1d", WHOLE_DAY),
    _merchant_fraud("7d", WHOLE_WEEK),
    _merchant_fraud("28d", WHOLE_FOUR_WEEKS),
    _attempted("merchant_matured_28d", Entity.MERCHANT, WHOLE_MATURED_FOUR_WEEKS),
    _linked_fraud(Entity.CARD, Entity.DEVICE, Entity.EMAIL),
    _linked_fraud(Entity.DEVICE),
)

BATCH_FEATURES: tuple[Feature, ...] = (
    Feature(
        name="card_attempted_30d_eod",
        of=("card_attempted_30d",),
        description="attempts with the card in the 30 days before last midnight UTC",
        code="CARD_ACTIVITY",
    ),
    Feature(
        name="card_amount_mean_30d_eod",
        formula=Formula.MEAN,
        of=("card_amount_30d", "card_attempted_30d"),
        description="mean amount of those attempts, reference minor units",
        code="CARD_SPENDING",
    ),
    Feature(
        name=RATIO_INPUT_EOD,
        formula=Formula.RATIO,
        of=("card_amount_30d", "card_attempted_30d"),
        description="the amount over that mean",
        code="CARD_SPENDING",
    ),
    Feature(
        name="amount_deviation_eod",
        formula=Formula.DEVIATION,
        of=("card_amount_30d", "card_attempted_30d", "card_squares_30d"),
        description="the amount's distance from that mean in standard deviations",
        code="CARD_SPENDING",
    ),
    Feature(
        name="card_large_3d_eod",
        of=("card_large_3d",),
        description="attempts over 2.5 times the card's own mean in 3 days before last midnight",
        code="CARD_SPENDING",
    ),
    Feature(
        name="card_large_14d_eod",
        of=("card_large_14d",),
        description="the same in the 14 days before last midnight",
        code="CARD_SPENDING",
    ),
    Feature(
        name="merchant_fraud_1d_eod",
        of=("merchant_fraud_1d",),
        description="fraud labels of the merchant that arrived in the day before last midnight",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_7d_eod",
        of=("merchant_fraud_7d",),
        description="the same in the 7 days before last midnight",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_rate_28d_eod",
        formula=Formula.RATE,
        of=("merchant_fraud_28d", "merchant_matured_28d"),
        description="those of 28 days per attempt that matured in 28 days, shrunk",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="merchant_fraud_share_28d_eod",
        formula=Formula.MEAN,
        of=("merchant_fraud_28d", "merchant_matured_28d"),
        description="the same, not shrunk: what tells a small merchant's one label from two",
        owner="fraud operations",
        code="MERCHANT_HOT",
    ),
    Feature(
        name="card_linked_fraud_eod",
        of=("card_linked_fraud",),
        description="fraud labels of other cards with the same device or e-mail address, by age",
        owner="fraud operations",
        code="LINKED_FRAUD",
    ),
    Feature(
        name="device_linked_fraud_eod",
        of=("device_linked_fraud",),
        description="fraud labels of the cards used from the device, by age",
        owner="fraud operations",
        code="LINKED_FRAUD",
    ),
)

REQUEST_NUMBERS: tuple[RequestInput, ...] = (
    RequestInput(
        name="amount_ref", description="amount in reference minor units", code="AMOUNT_UNUSUAL"
    ),
    RequestInput(
        name="account_age_days",
        description="age of the customer's account, days",
        code="NEW_ACCOUNT",
    ),
    RequestInput(name="basket_items", description="items in the basket", code="BASKET_CONTENT"),
    RequestInput(
        name="gift_cards", description="1 if the basket holds gift cards", code="BASKET_CONTENT"
    ),
    RequestInput(name="emulator", description="1 if the device is an emulator", code="EMULATOR"),
    RequestInput(name="proxy", description="1 if the address is a known proxy", code="PROXY"),
    RequestInput(
        name="ip_abroad",
        description="1 if the address is not in the issuer's country",
        code="COUNTRY_MISMATCH",
    ),
    RequestInput(
        name="ships_abroad",
        description="1 if shipping and billing countries differ",
        code="COUNTRY_MISMATCH",
    ),
)

REQUEST_CATEGORIES: tuple[RequestInput, ...] = (
    RequestInput(
        name="merchant_category", description="from the merchant directory", code="MERCHANT_PROFILE"
    ),
    RequestInput(
        name="merchant_country", description="from the merchant directory", code="MERCHANT_PROFILE"
    ),
    RequestInput(
        name="channel", description="ecommerce, in_app, moto, pos", code="PAYMENT_CHANNEL"
    ),
    RequestInput(
        name="entry_mode", description="how the card data came in", code="PAYMENT_CHANNEL"
    ),
    RequestInput(name="funding", description="credit, debit, prepaid, unknown", code="CARD_TYPE"),
    RequestInput(name="issuer_country", description="of the card", code="CARD_COUNTRY"),
    RequestInput(
        name="device_kind", description="phone, tablet, desktop and such", code="DEVICE_TYPE"
    ),
    RequestInput(
        name="email_domain", description="of the customer's e-mail address", code="EMAIL_DOMAIN"
    ),
)

REFERENCE = FeatureSet(
    name="reference",
    schema=3,
    counters=COUNTERS,
    features=FEATURES,
    batch_counters=BATCH_COUNTERS,
    batch_features=BATCH_FEATURES,
    request_numbers=REQUEST_NUMBERS,
    request_categories=REQUEST_CATEGORIES,
    previous=before_withdrawals(COUNTERS),
)
