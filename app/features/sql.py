"""The counters of a feature set as ClickHouse SQL: the arithmetic of `rings`, bucket for bucket.

    counted      every event of history that counts, one row each
    counter_sql  one counter as an aggregate over the rows of one entity's events
    formula_sql  one feature over counters

Rows carry weights (`n`, `amount`, `squares`), so that rows of the same bucket and the same kinds
may be added up first. Integers are summed exactly; shares are applied in the order of
`Rings.totals`, in Float64, so that the results agree with serving to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.features.blocks import SQUARED_AMOUNT_MAX
from app.features.events import Counted
from app.features.formulas import DEVIATION_COUNT_MIN, PRIOR_ATTEMPTS, PRIOR_RATE
from app.features.spec import Aggregate, Counter, Entity, Feature, Formula

__all__ = ["COUNTED", "counter_sql", "formula_sql", "kinds_of", "seen_sql"]

_SQUARED = f"toUInt64(least(amount_ref, {SQUARED_AMOUNT_MAX}))"
_COLUMNS = ", ".join(
    ["tenant", "region", "writer", "epoch", "seq"]
    + ["toUInt64(1) AS n", "toUInt64(amount_ref) AS amount", f"{_SQUARED} * {_SQUARED} AS squares"]
    + [f"{entity}" for entity in Entity]
    + [f"ifNull({entity}_bit, 0) AS {entity}_bit" for entity in Entity]
)
_EFFECTS = [kind for kind in Counted if kind.name and kind > Counted.LARGE]

# Events that count: `what` holds the flags of `Counted`, `at_ms` the time each counts at,
# `known_ms` its receipt: later, where something is taken back.
COUNTED = f"""
SELECT {_COLUMNS}, received_ms AS at_ms, received_ms AS known_ms,
       toUInt32({int(Counted.ATTEMPTED)}
                + {int(Counted.STEPPED_UP)} * (action = 'step_up')
                + {int(Counted.DECLINED)} * (action = 'decline')
                + {int(Counted.LARGE)} * large) AS what
FROM decisions
UNION ALL
SELECT {_COLUMNS}, at_ms, received_ms AS known_ms,
       toUInt32(transform(what, {[str(kind.name).lower() for kind in _EFFECTS]},
                          {[int(kind) for kind in _EFFECTS]}, 0)) AS what
FROM effects
"""  # noqa: S608 - of our own names only


def counter_sql(counter: Counter, *, as_of: str) -> str:
    """One counter, as an aggregate over the events (of `COUNTED`) of one entity and ask.

    Args:
        counter: of a feature set.
        as_of: the moment asked for, an expression, ms since the epoch.

    Returns:
        An aggregate expression, Float64; of kind "last" it is 0 where there is none. What was
        withdrawn may exceed what was counted: callers take nothing less than nothing.
    """
    ring = counter.ring
    width = ring.width_ms
    at = as_of if not ring.lag_ms else f"({as_of} - {ring.lag_ms})"
    age = f"(intDiv({at}, {width}) - intDiv(at_ms, {width}))"
    match counter.aggregate:
        case Aggregate.DISTINCT:
            within = f"{_any(counter.counts)} AND {age} BETWEEN 0 AND {ring.buckets}"
            return f"toFloat64(bitCount(groupBitOrIf({counter.of}_bit, {within})))"
        case Aggregate.LAST:
            within = f"at_ms >= {as_of} - {ring.window_ms}"
            return f"toFloat64(maxIf(at_ms, {_any(counter.counts)} AND {within}))"
        case Aggregate.LINKED:
            raise ValueError(f"{counter.name} is of the snapshot: see app.features.links")
        case _:
            total = _total(counter, counter.counts, at=at, age=age)
            if counter.minus:
                total = f"{total} - {_total(counter, counter.minus, at=at, age=age)}"
            return f"greatest({total}, 0.)"


def seen_sql(counters: Sequence[Counter], *, as_of: str, horizon_ms: int) -> str:
    """Whether anything that these counters count happened within the horizon, as an aggregate."""
    return f"countIf({_any(kinds_of(counters))} AND at_ms >= {as_of} - {horizon_ms}) > 0"


def kinds_of(counters: Sequence[Counter]) -> Counted:
    """Kinds of events that change any of the counters."""
    kinds = Counted.NOTHING
    for counter in counters:
        kinds |= counter.counts | counter.minus
    return kinds


def formula_sql(feature: Feature, *, column: Mapping[str, str], amount: str, now: str) -> str:
    """One feature as Float64; NaN where it has no value.

    Args:
        feature: of a feature set.
        column: expression of each counter, Float64, NaN where it is not known.
        amount: of the attempt, reference minor units, an expression; NaN where not known.
        now: as of when, ms since the epoch, an expression.
    """
    of = [column[name] for name in feature.counters]
    match feature.formula:
        case Formula.VALUE:
            return of[0]
        case Formula.MEAN:
            return f"if({of[1]} > 0, {of[0]} / {of[1]}, nan)"
        case Formula.RATIO:
            mean = f"({of[0]} / {of[1]})"
            return f"if({of[1]} > 0 AND {of[0]} > 0, {amount} / {mean}, nan)"
        case Formula.DEVIATION:
            mean = f"({of[0]} / {of[1]})"
            variance = f"greatest({of[2]} / {of[1]} - {mean} * {mean}, 0.)"
            spread = f"greatest(sqrt({variance}), {mean} / 20)"
            known = f"{of[1]} >= {DEVIATION_COUNT_MIN} AND {spread} > 0"
            return f"if({known}, ({amount} - {mean}) / {spread}, nan)"
        case Formula.RATE:
            prior = PRIOR_RATE * PRIOR_ATTEMPTS
            return f"({of[0]} + {prior!r}) / ({of[1]} + {PRIOR_ATTEMPTS!r})"
        case Formula.SINCE:
            return f"if({of[0]} > 0, ({now} - {of[0]}) / 1000, nan)"


def _total(counter: Counter, kinds: Counted, *, at: str, age: str) -> str:
    ring = counter.ring
    width, lagging = ring.width_ms, int(ring.lag_ms > 0)
    weight = {Aggregate.COUNT: "n", Aggregate.SUM: "amount", Aggregate.SQUARES: "squares"}

    def of_age(condition: str) -> str:
        counts = f"{_any(kinds)} AND {age} {condition}"
        return f"toFloat64(sumIf({weight[counter.aggregate]}, {counts}))"

    passed = f"({at} % {width})"
    total = of_age(f"BETWEEN {lagging} AND {ring.buckets - 1}")
    total = f"{total} + ({width} - {passed}) / {width} * {of_age(f'= {ring.buckets}')}"
    if lagging:
        total = f"{total} + {passed} / {width} * {of_age('= 0')}"
    return f"({total})"


def _any(kinds: Counted) -> str:
    return f"bitAnd(what, {int(kinds)}) != 0"
