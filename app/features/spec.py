"""The feature specification: everything the models see, declared once.

From this page follow the packed layout of the counters, the order of the model's inputs, the
training columns and the reference table (`stepdown features`). Add an input here and nowhere else.

Three kinds of input, by what has to be alive to know them:

* request: on the attempt itself, or in the merchant directory held in memory;
* batch: per entity in the local snapshot, as of last midnight UTC;
* streaming: window counters of the datastore.

Inputs come in two shapes, numeric and category. Categories are low-cardinality only: ids of
entities enter through counters, never as categories.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.features.rings import Ring

__all__ = [
    "BATCH",
    "BATCH_ENTITIES",
    "CATEGORIES",
    "DAY_MS",
    "FEATURE_SCHEMA",
    "HOUR_MS",
    "MINUTE_MS",
    "NUMBERS",
    "RATIOS",
    "REQUEST_CATEGORIES",
    "REQUEST_NUMBERS",
    "STREAMING",
    "STREAMING_ENTITIES",
    "Aggregate",
    "BatchFeature",
    "Counter",
    "Entity",
    "InputState",
    "Inputs",
    "RequestInput",
    "batch_inputs",
    "counters_of",
    "full_inputs",
    "horizon_ms",
]

# Grows with every change of the list of inputs; an artifact pins the one it was trained on.
FEATURE_SCHEMA = 1

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Entity(enum.StrEnum):
    """What counters and snapshot rows are kept about. Part of every key."""

    CARD = "card"
    CUSTOMER = "customer"
    MERCHANT = "merchant"
    TERMINAL = "terminal"
    DEVICE = "device"
    IP = "ip"
    EMAIL = "email"
    BIN = "bin"


class Aggregate(enum.StrEnum):
    """How events fold into a counter, and so how counters of several regions merge."""

    COUNT = "count"  # add
    SUM = "sum"  # add
    DISTINCT = "distinct"  # bitmap, OR


class InputState(enum.Enum):
    """What is known of an entity's values; each state is a category the models were trained on."""

    NOT_MAPPED = b"not_mapped"  # the caller sends no such id
    NEVER_SEEN = b"never_seen"  # the store answered: nothing within the horizon
    PRESENT = b"present"
    UNAVAILABLE = b"unavailable"  # the store did not answer, or the value was unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A streaming window counter.

    Attributes:
        name: of the input.
        entity: whose counter it is.
        ring: the window.
        aggregate: what is kept.
        of: for `SUM` the summed quantity, for `DISTINCT` the entity told apart.
        description: one line for the reference table.
    """

    name: str
    entity: Entity
    ring: Ring
    aggregate: Aggregate
    of: str = "attempted"
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFeature:
    """A value of the snapshot, as of last midnight UTC."""

    name: str
    entity: Entity
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInput:
    """A value of the attempt itself or of the merchant directory."""

    name: str
    description: str


HOUR = Ring(window_ms=HOUR_MS)
DAY = Ring(window_ms=DAY_MS)

STREAMING: tuple[Counter, ...] = (
    Counter(
        name="card_attempted_1h",
        entity=Entity.CARD,
        ring=HOUR,
        aggregate=Aggregate.COUNT,
        description="attempts with the card in the last hour",
    ),
    Counter(
        name="card_attempted_24h",
        entity=Entity.CARD,
        ring=DAY,
        aggregate=Aggregate.COUNT,
        description="attempts with the card in the last 24 hours",
    ),
    Counter(
        name="card_amount_24h",
        entity=Entity.CARD,
        ring=DAY,
        aggregate=Aggregate.SUM,
        of="amount_ref",
        description="amount attempted with the card in the last 24 hours, reference minor units",
    ),
    Counter(
        name="device_attempted_1h",
        entity=Entity.DEVICE,
        ring=HOUR,
        aggregate=Aggregate.COUNT,
        description="attempts from the device in the last hour",
    ),
    Counter(
        name="device_cards_24h",
        entity=Entity.DEVICE,
        ring=DAY,
        aggregate=Aggregate.DISTINCT,
        of=Entity.CARD,
        description="distinct cards used from the device in the last 24 hours (to about 30)",
    ),
    Counter(
        name="ip_attempted_1h",
        entity=Entity.IP,
        ring=HOUR,
        aggregate=Aggregate.COUNT,
        description="attempts from the IP address in the last hour",
    ),
)

BATCH: tuple[BatchFeature, ...] = (
    BatchFeature(
        name="card_attempted_30d",
        entity=Entity.CARD,
        description="attempts with the card in the 30 days before last midnight",
    ),
    BatchFeature(
        name="card_amount_mean_30d",
        entity=Entity.CARD,
        description="mean amount of those attempts, reference minor units",
    ),
    BatchFeature(
        name="merchant_fraud_7d",
        entity=Entity.MERCHANT,
        description="fraud labels of the merchant that arrived in the 7 days before last midnight",
    ),
    BatchFeature(
        name="merchant_fraud_rate_30d",
        entity=Entity.MERCHANT,
        description="fraud labels per attempt over 30 days, shrunk towards the overall rate",
    ),
)

REQUEST_NUMBERS: tuple[RequestInput, ...] = (
    RequestInput(name="amount_ref", description="amount in reference minor units"),
    RequestInput(name="account_age_days", description="age of the customer's account, days"),
    RequestInput(name="basket_items", description="items in the basket"),
    RequestInput(name="gift_cards", description="1 if the basket holds gift cards"),
    RequestInput(name="emulator", description="1 if the device is an emulator"),
    RequestInput(name="proxy", description="1 if the address is a known proxy"),
    RequestInput(name="ip_abroad", description="1 if the address is not in the issuer's country"),
    RequestInput(name="ships_abroad", description="1 if shipping and billing countries differ"),
)

REQUEST_CATEGORIES: tuple[RequestInput, ...] = (
    RequestInput(name="merchant_category", description="from the merchant directory"),
    RequestInput(name="merchant_country", description="from the merchant directory"),
    RequestInput(name="channel", description="ecommerce, in_app, moto, pos"),
    RequestInput(name="entry_mode", description="how the card data came in"),
    RequestInput(name="funding", description="credit, debit, prepaid, unknown"),
    RequestInput(name="issuer_country", description="of the card"),
    RequestInput(name="device_kind", description="phone, tablet, desktop and such"),
    RequestInput(name="email_domain", description="of the customer's e-mail address"),
)

# Made of a request value and a batch value, so they live and die with the batch values.
RATIOS: Mapping[str, tuple[str, str]] = {
    "amount_to_card_mean": ("amount_ref", "card_amount_mean_30d")
}

BATCH_ENTITIES: tuple[Entity, ...] = tuple(dict.fromkeys(f.entity for f in BATCH))
STREAMING_ENTITIES: tuple[Entity, ...] = tuple(dict.fromkeys(c.entity for c in STREAMING))

# The order of the model's inputs. What the batch model needs comes first, so its inputs are a
# prefix of the full model's and one row serves both.
NUMBERS: tuple[str, ...] = (
    *(r.name for r in REQUEST_NUMBERS),
    *(b.name for b in BATCH),
    *RATIOS,
    *(c.name for c in STREAMING),
)
CATEGORIES: tuple[str, ...] = (
    *(r.name for r in REQUEST_CATEGORIES),
    *(f"{entity}_snapshot_state" for entity in BATCH_ENTITIES),
    *(f"{entity}_counters_state" for entity in STREAMING_ENTITIES),
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one model, in order: the numbers, then the categories."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]


def full_inputs() -> Inputs:
    """Inputs of the full model: request, batch and streaming."""
    return Inputs(NUMBERS, CATEGORIES)


def batch_inputs() -> Inputs:
    """Inputs of the batch model: request and batch."""
    return Inputs(
        NUMBERS[: len(NUMBERS) - len(STREAMING)],
        CATEGORIES[: len(CATEGORIES) - len(STREAMING_ENTITIES)],
    )


def counters_of(entity: Entity) -> Sequence[Counter]:
    """Streaming counters of one entity, in the order of the packed layout."""
    return tuple(counter for counter in STREAMING if counter.entity is entity)


def horizon_ms(entity: Entity) -> int:
    """Age beyond which nothing counts for the entity any more, milliseconds."""
    return max(counter.ring.horizon_ms for counter in counters_of(entity))
