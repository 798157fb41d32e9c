"""The vocabulary of features: entities, windows of events, formulas over them, and sets of both.

Three kinds of model input, by what has to be alive to know them:

* request: on the attempt itself, or in the merchant directory held in memory;
* batch: per entity in the local snapshot, as of last midnight UTC;
* streaming: window counters of the datastore.

Batch and streaming inputs are declared the same way: counters say what is kept of the events, and
features are formulas over counters. From a set follow the packed layout, the order of the model's
inputs, the training columns, the SQL and the reference page (`stepdown features docs`). The sets
stand in `app.features.reference` and `app.features.wide`: add an input there and nowhere else.

Inputs come in two shapes, numeric and category. Categories are low-cardinality only: ids of
entities enter through counters, never as categories.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from app.features.events import Counted
from app.features.rings import Ring

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "REGIONS_PRESENT",
    "Aggregate",
    "Counter",
    "Entity",
    "Feature",
    "FeatureSet",
    "Formula",
    "InputState",
    "Inputs",
    "RequestInput",
    "entities_of",
]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Share of the regions whose counters an input row was made of; precedes the streaming features.
REGIONS_PRESENT = "regions_present"
# Reason code of what is known at all.
NO_HISTORY = "NO_HISTORY"


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

    # An enumeration's own hash is a call into Python, at every look-up.
    __hash__ = str.__hash__


class Aggregate(enum.StrEnum):
    """How events fold into a counter, and so how counters of several regions merge."""

    COUNT = "count"  # add
    SUM = "sum"  # add: the amount, reference minor units
    SQUARES = "squares"  # add: the amount squared
    DISTINCT = "distinct"  # bitmap, OR
    LAST = "last"  # newest event time, max
    LINKED = "linked"  # batch only: decayed labels of entities one hop away (`app.features.links`)


class Formula(enum.StrEnum):
    """How a feature follows from counters; NaN wherever the formula has no value.

    With n a count, s a sum, q a sum of squares, a the attempt's amount:
    """

    VALUE = "value"  # of (n)
    MEAN = "mean"  # of (s, n): m = s / n
    RATIO = "ratio"  # of (s, n): a / m
    DEVIATION = "deviation"  # of (s, n, q): (a - m) / max(sqrt(q / n - m^2), m / 20), n >= 2
    RATE = "rate"  # of (fraud, matured): (fraud + r k) / (matured + k)
    SINCE = "since"  # of (last): seconds since


class InputState(enum.Enum):
    """What is known of an entity's values; each state is a category the models were trained on."""

    NOT_MAPPED = b"not_mapped"  # the caller sends no such id
    NEVER_SEEN = b"never_seen"  # the store answered: nothing within the horizon
    PRESENT = b"present"
    UNAVAILABLE = b"unavailable"  # the store did not answer, or the value was unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Events kept of an entity over a window.

    Attributes:
        name: unique within its set.
        entity: whose counter it is.
        ring: the window.
        aggregate: what is kept of the events.
        counts: kinds of events that count; an event that is any of them counts once.
        minus: kinds that withdraw what was counted, in a second ring that only grows too.
        of: for `DISTINCT` the entity told apart.
        via: for `LINKED` the entities that links may go through.
    """

    name: str
    entity: Entity
    ring: Ring
    aggregate: Aggregate = Aggregate.COUNT
    counts: Counted = Counted.ATTEMPTED
    minus: Counted = Counted.NOTHING
    of: Entity | None = None
    via: tuple[Entity, ...] = ()

    def __post_init__(self) -> None:
        if (self.aggregate is Aggregate.DISTINCT) != (self.of is not None):
            raise ValueError(f"{self.name}: a distinct counter, and no other, says of what")
        if self.minus and self.aggregate in {Aggregate.DISTINCT, Aggregate.LAST}:
            raise ValueError(f"{self.name}: nothing can be withdrawn from bitmaps and maxima")
        if self.ring.lag_ms and self.aggregate in {Aggregate.DISTINCT, Aggregate.LAST}:
            raise ValueError(f"{self.name}: only sums can lag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A numeric input made of counters of one entity.

    Attributes:
        name: of the input.
        formula: how it follows from the counters.
        of: names of the counters, in the formula's order.
        description: one line for the reference page.
        code: reason code that explains a score by it.
        owner: who answers for it.
    """

    name: str
    formula: Formula = Formula.VALUE
    of: tuple[str, ...] = ()
    description: str
    code: str
    owner: str = "risk"

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the counters it needs."""
        return self.of or (self.name,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInput:
    """A value of the attempt itself or of the merchant directory."""

    name: str
    description: str
    code: str
    owner: str = "risk"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one model, in order: the numbers, then the categories."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Everything the models of one kind see.

    Attributes:
        name: as settings say it.
        schema: of packed values, snapshot rows and inputs; grows with every change. Artifacts,
            snapshots and packed values pin it.
        counters: streaming counters.
        features: streaming inputs, in the model's order.
        batch_counters: counters of the snapshot, asked at midnight.
        batch_features: their inputs, in the model's order.
        request_numbers: numeric inputs of the attempt.
        request_categories: categories of the attempt.
        previous: streaming counters of the schema before, which readers still accept.
    """

    name: str
    schema: int
    counters: tuple[Counter, ...]
    features: tuple[Feature, ...]
    batch_counters: tuple[Counter, ...]
    batch_features: tuple[Feature, ...]
    request_numbers: tuple[RequestInput, ...]
    request_categories: tuple[RequestInput, ...]
    previous: tuple[Counter, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [*self.numbers, *self.categories]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"feature set {self.name} has two inputs named {min(twice)}")
        for features, counters in (
            (self.features, self.counters),
            (self.batch_features, self.batch_counters),
        ):
            known = {counter.name: counter for counter in counters}
            for feature in features:
                if missing := [name for name in feature.counters if name not in known]:
                    raise ValueError(f"{feature.name} needs {missing[0]}, which is not kept")
                if len({known[name].entity for name in feature.counters}) > 1:
                    raise ValueError(f"{feature.name} mixes counters of several entities")

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """Entities with streaming counters."""
        return entities_of(self.counters)

    @cached_property
    def batch_entities(self) -> tuple[Entity, ...]:
        """Entities with rows in the snapshot."""
        return entities_of(self.batch_counters)

    @cached_property
    def snapshot_columns(self) -> dict[Entity, tuple[str, ...]]:
        """What the snapshot's row of each entity holds: counters by name, in order."""
        return {
            entity: tuple(counter.name for counter in self.batch_counters_of(entity))
            for entity in self.batch_entities
        }

    @cached_property
    def snapshot_counters(self) -> tuple[Counter, ...]:
        """Counters of the snapshot, entity by entity, as its rows have them."""
        return tuple(c for entity in self.batch_entities for c in self.batch_counters_of(entity))

    @cached_property
    def told_apart(self) -> tuple[Entity, ...]:
        """Entities whose ids are counted distinct, so that events carry their bits."""
        return tuple(dict.fromkeys(c.of for c in self.counters if c.of is not None))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Numeric inputs in order; the batch model's are a prefix, so that one row serves both."""
        return (
            *(r.name for r in self.request_numbers),
            *(f.name for f in self.batch_features),
            REGIONS_PRESENT,
            *(f.name for f in self.features),
        )

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Category inputs in order, again with those of the batch model first."""
        return (
            *(r.name for r in self.request_categories),
            *(f"{entity}_snapshot_state" for entity in self.batch_entities),
            *(f"{entity}_counters_state" for entity in self.entities),
        )

    @cached_property
    def codes(self) -> dict[str, str]:
        """Reason code of every input."""
        declared: tuple[RequestInput | Feature, ...] = (
            *self.request_numbers,
            *self.request_categories,
            *self.batch_features,
            *self.features,
        )
        states = dict.fromkeys((*self.numbers, *self.categories), NO_HISTORY)
        return {**states, **{one.name: one.code for one in declared}}

    @cached_property
    def full_inputs(self) -> Inputs:
        """Inputs of the full model: request, batch and streaming."""
        return Inputs(self.numbers, self.categories)

    @cached_property
    def batch_inputs(self) -> Inputs:
        """Inputs of the batch model: request and batch."""
        return Inputs(
            self.numbers[: len(self.numbers) - len(self.features) - 1],
            self.categories[: len(self.categories) - len(self.entities)],
        )

    def counters_of(self, entity: Entity) -> tuple[Counter, ...]:
        """Streaming counters of one entity, in the order of the packed layout."""
        return tuple(counter for counter in self.counters if counter.entity is entity)

    def batch_counters_of(self, entity: Entity) -> tuple[Counter, ...]:
        """Snapshot counters of one entity, in the order of the snapshot's rows."""
        return tuple(counter for counter in self.batch_counters if counter.entity is entity)

    def snapshot_horizon_ms(self, entity: Entity) -> int:
        """Age, at its midnight, beyond which nothing is in the snapshot, milliseconds."""
        rings = [counter.ring for counter in self.batch_counters_of(entity)]
        return max(ring.window_ms + ring.lag_ms for ring in rings)

    def horizon_ms(self, entity: Entity) -> int:
        """Age beyond which nothing counts for the entity any more, milliseconds."""
        return max(counter.ring.horizon_ms for counter in self.counters_of(entity))


def entities_of(counters: Sequence[Counter]) -> tuple[Entity, ...]:
    """Entities of counters, each once, in order of first mention."""
    return tuple(dict.fromkeys(counter.entity for counter in counters))
