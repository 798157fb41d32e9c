"""The reference page of a feature set, in Markdown, from what the set declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.features.events import Counted
from app.features.formulas import PRIOR_ATTEMPTS, PRIOR_RATE
from app.features.packed import HEADER_BYTES, Layout, layouts_of
from app.features.rings import Ring
from app.features.spec import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    REGIONS_PRESENT,
    Aggregate,
    Counter,
    Feature,
    FeatureSet,
    Formula,
    InputState,
    RequestInput,
)
from app.features.sql import COUNTED, counter_sql

__all__ = ["reference_page"]

_FORMULAS = {
    Formula.VALUE: "{0}",
    Formula.MEAN: "{0} / {1}",
    Formula.RATIO: "amount / ({0} / {1})",
    Formula.DEVIATION: "(amount - mean) / deviation, of {0}, {1}, {2}",
    Formula.RATE: f"({{0}} + {PRIOR_RATE * PRIOR_ATTEMPTS:g}) / ({{1}} + {PRIOR_ATTEMPTS:g})",
    Formula.SINCE: "now - {0}",
}
_STATES = {
    InputState.NOT_MAPPED: "the caller sends no such id",
    InputState.NEVER_SEEN: "the store answered: nothing within the horizon",
    InputState.PRESENT: "there is something",
    InputState.UNAVAILABLE: "the store did not answer, or the value was unreadable",
}


def reference_page(features: FeatureSet) -> str:
    """The page, ending in a newline."""
    sections = (
        _top(features),
        _inputs(features),
        _request(features),
        _streaming(features),
        _batch(features),
        _states(features),
        _layout(features),
        _sql(features),
    )
    return "\n".join(line for section in sections for line in section).rstrip() + "\n"


def _top(features: FeatureSet) -> Iterator[str]:
    yield f"# Features: the {features.name} set, schema {features.schema}"
    yield ""
    yield "Made from the code by `stepdown features docs`; a test holds the two together."
    yield ""
    yield (
        "A counter keeps the events of one entity over a window; a feature is a formula over"
        " counters; an input is what a model sees. A window of N buckets is a ring of N + 1: the"
        " oldest one counts in part, so the window has its length at every instant. An event"
        " never counts itself."
    )
    yield ""
    yield from _table(
        ("", "numbers", "categories"),
        [
            (rung, len(inputs.numbers), len(inputs.categories))
            for rung, inputs in (
                ("full rung", features.full_inputs),
                ("batch rung", features.batch_inputs),
            )
        ],
    )


def _inputs(features: FeatureSet) -> Iterator[str]:
    yield "## Inputs in the model's order"
    yield ""
    yield "The batch rung's are those before the streaming ones, so that one row serves both."
    yield ""
    kinds = {
        **{one.name: "request" for one in features.request_numbers},
        **{one.name: "snapshot" for one in features.batch_features},
        REGIONS_PRESENT: "share of the regions whose counters are in the row",
        **{one.name: "counters" for one in features.features},
    }
    rows = [(at, f"`{name}`", kinds[name]) for at, name in enumerate(features.numbers)]
    yield from _folded("Numbers", _table(("#", "input", "from"), rows))
    rows = [
        (at, f"`{name}`", "state" if name.endswith("_state") else "request")
        for at, name in enumerate(features.categories)
    ]
    yield from _folded("Categories", _table(("#", "input", "from"), rows))


def _request(features: FeatureSet) -> Iterator[str]:
    yield "## Request inputs"
    yield ""
    for title, inputs in (
        ("Numbers", features.request_numbers),
        ("Categories", features.request_categories),
    ):
        yield f"{title}:"
        yield ""
        yield from _table(("input", "is", "owner", "reason"), [_said(one) for one in inputs])


def _streaming(features: FeatureSet) -> Iterator[str]:
    yield "## Streaming features"
    yield ""
    yield "Read at each attempt from the datastores of all home regions, and merged."
    yield ""
    yield from _features(features.features)
    yield "### Counters"
    yield ""
    yield from _counters(features.counters)


def _batch(features: FeatureSet) -> Iterator[str]:
    yield "## Snapshot features"
    yield ""
    yield "As of last midnight UTC, from the local snapshot; they need no datastore."
    yield ""
    yield from _features(features.batch_features)
    yield "### Counters of the snapshot"
    yield ""
    yield from _counters(features.snapshot_counters)


def _states(features: FeatureSet) -> Iterator[str]:
    yield "## States"
    yield ""
    yield "What is known of an entity is a category of its own; its features are NaN otherwise."
    yield ""
    yield from _table(
        ("state", "means"), [(f"`{state.value.decode()}`", said) for state, said in _STATES.items()]
    )
    yield f"In the snapshot: {', '.join(features.batch_entities)}."
    yield f"In the counters: {', '.join(features.entities)}."
    yield ""


def _layout(features: FeatureSet) -> Iterator[str]:
    yield "## Packed values"
    yield ""
    yield (
        f"One value an entity, under `tenant:entity:id`: {HEADER_BYTES} bytes of header (magic,"
        f" schema id {features.schema}, flags, newest event time), then the counters. It expires"
        " when nothing was written for twice the horizon."
    )
    yield ""
    layouts = {entity: reader.layout for entity, reader in layouts_of(features).items()}
    yield from _table(
        ("entity", "bytes", "horizon", "expires after"),
        [
            (entity, layout.size, _span(horizon_ms), _span(2 * horizon_ms))
            for entity, layout in layouts.items()
            for horizon_ms in [features.horizon_ms(entity)]
        ],
    )
    for entity, layout in layouts.items():
        yield from _folded(f"Layout of {entity}", _offsets(layout))


def _sql(features: FeatureSet) -> Iterator[str]:
    yield "## SQL"
    yield ""
    yield (
        "Each counter is an aggregate over the events of one entity, as of `as_of_ms`, in"
        " ClickHouse's SQL; `stepdown features parity` holds the streaming ones to what was served."
        " Those of the snapshot are asked at a midnight."
    )
    yield ""
    yield from _folded("Events that count", _code(COUNTED.strip()))
    for title, counters in (("", features.counters), ("snapshot: ", features.snapshot_counters)):
        for counter in counters:
            if counter.aggregate is not Aggregate.LINKED:  # over a graph, not over rows
                sql = counter_sql(counter, as_of="as_of_ms")
                yield from _folded(f"{title}{counter.name}", _code(sql))


def _features(features: Sequence[Feature]) -> Iterator[str]:
    rows = [
        (
            f"`{one.name}`",
            _FORMULAS[one.formula].format(*(f"`{name}`" for name in one.counters)),
            *_said(one)[1:],
        )
        for one in features
    ]
    yield from _table(("feature", "formula", "is", "owner", "reason"), rows)


def _counters(counters: Sequence[Counter]) -> Iterator[str]:
    rows = [
        (
            f"`{one.name}`",
            one.entity,
            _aggregate(one),
            _kinds(one.counts),
            _kinds(one.minus) or "-",
            *_ring(one.ring),
        )
        for one in counters
    ]
    yield from _table(
        ("counter", "entity", "keeps", "counts", "withdrawn by", "window", "buckets", "lag"), rows
    )


def _offsets(layout: Layout) -> Iterator[str]:
    rows = [(f"`{name}`", offset, size) for name, offset, size in sorted(layout.offsets(), key=_at)]
    yield from _table(("counter", "offset", "bytes"), rows)


def _at(row: tuple[str, int, int]) -> int:
    return row[1]


def _said(one: RequestInput | Feature) -> tuple[str, str, str, str]:
    return f"`{one.name}`", one.description, one.owner, f"`{one.code}`"


def _aggregate(counter: Counter) -> str:
    match counter.aggregate:
        case Aggregate.DISTINCT:
            return f"distinct {counter.of}"
        case Aggregate.LINKED:
            return f"linked by {', '.join(counter.via)}"
        case aggregate:
            return aggregate.value


def _kinds(kinds: Counted) -> str:
    return ", ".join(str(kind.name).lower() for kind in Counted if kind and kind in kinds)


def _ring(ring: Ring) -> tuple[str, str, str]:
    buckets = f"{ring.buckets} of {_span(ring.width_ms)}"
    return _span(ring.window_ms), buckets, _span(ring.lag_ms) if ring.lag_ms else "-"


def _span(ms: int) -> str:
    """A length of time in the largest unit of which it is a few."""
    for unit_ms, unit in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if ms >= unit_ms:
            return f"{ms / unit_ms:g} {unit}"
    return f"{ms / 1_000:g} s"


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _folded(title: str, lines: Iterator[str]) -> Iterator[str]:
    """Lines that are shown when the title is clicked."""
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield "</details>"
    yield ""


def _code(sql: str) -> Iterator[str]:
    yield "```sql"
    yield sql
    yield "```"
    yield ""
