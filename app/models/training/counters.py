"""Counters from a history's events, as they stood at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.features.blocks import SQUARED_AMOUNT_MAX
from app.features.events import Counted
from app.features.formulas import Formulas
from app.features.links import LINKING, linked_of_events
from app.features.packed import distinct_bit
from app.features.reference import LARGE_RATIO, RATIO_INPUT, RATIO_INPUT_EOD
from app.features.rings import Int64s, UInt64s, distinct_of_events, last_of_events, sum_of_events
from app.features.spec import DAY_MS, Aggregate, Counter, Entity, Feature, FeatureSet
from app.models.training.history import ID_COLUMNS, History, Ids, encoded, ids_of
from app.models.training.late import sum_of_late

__all__ = ["EventLog", "Source", "counter_values", "merged_values", "seen_within"]

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """Everything that counts in a history, in columns.

    Attributes:
        attempt: row of the attempt that each event is of, shape (events,).
        at_ms: the time it counts at.
        known_ms: when it was received; nobody who asked before that knew of it.
        what: `Counted` flags.
        amount: reference minor units of the attempt.
        linking: number of each attempt's id, by entity that identity links are made of, -1 for
            none, shape (attempts,); nothing where no counter is of links.
    """

    attempt: Int64s
    at_ms: Int64s
    known_ms: Int64s
    what: Int64s
    amount: Int64s
    linking: Mapping[Entity, Int64s]

    @classmethod
    def of_history(cls, history: History, counters: Sequence[Counter] | None = None) -> EventLog:
        """Attempts, and what counts after them.

        Args:
            history: all attempts.
            counters: what is to be computed: other events are left out, which are most of those
                after an attempt. By default all are kept.
        """
        later = history.follow_ups()
        linked = counters is None or any(c.aggregate is Aggregate.LINKED for c in counters)
        if counters is not None:
            later = later.of((later.what & int(_kinds(counters))) != 0)
        attempt = np.concatenate([np.arange(len(history)), later.attempt])
        attempted = np.full(len(history), int(Counted.ATTEMPTED), dtype=np.int64)
        return cls(
            attempt=attempt,
            at_ms=np.concatenate([history.received_ms, later.at_ms]),
            known_ms=np.concatenate([history.received_ms, later.known_ms]),
            what=np.concatenate([attempted, later.what]),
            amount=history.amount_ref[attempt],
            linking={
                entity: encoded(history.attempts[ID_COLUMNS[entity]])[0]
                for entity in (LINKING if linked else ())
            },
        )

    @classmethod
    def marked(cls, history: History, features: FeatureSet) -> EventLog:
        """The log with every attempt that was far above the card's own mean marked so.

        As serving marks them: by the mean that the counters know at the attempt or, where they
        know none, by that of the midnight before.

        Args:
            history: all attempts.
            features: declare how the amount compares with the mean, and what else is counted.
        """
        log = cls.of_history(history, (*features.counters, *features.batch_counters))
        now_ms = history.received_ms
        own = _ratio(history, log, RATIO_INPUT, (features.features, features.counters), now_ms)
        midnight_ms = history.day * DAY_MS
        batch = features.batch_features, features.batch_counters
        eod = _ratio(history, log, RATIO_INPUT_EOD, batch, midnight_ms)
        what = log.what.copy()
        large = np.where(np.isnan(own), eod, own) > LARGE_RATIO
        what[: len(history)] |= np.where(large, int(Counted.LARGE), 0)
        return replace(log, what=what)

    def of(self, events: Int64s | Bools) -> EventLog:
        """Some of the events."""
        return replace(
            self,
            attempt=self.attempt[events],
            at_ms=self.at_ms[events],
            known_ms=self.known_ms[events],
            what=self.what[events],
            amount=self.amount[events],
        )


@dataclass(frozen=True, slots=True)
class Source:
    """One of the sources that are merged when counters are read.

    Attributes:
        log: the events that it counted.
        answers: which of the asks it answers, shape (asks,).
    """

    log: EventLog
    answers: Bools


def _ratio(
    history: History,
    log: EventLog,
    name: str,
    declared: tuple[Sequence[Feature], Sequence[Counter]],
    as_of_ms: Int64s,
) -> Float32s:
    """One input that compares the amount with the card's own mean, shape (attempts,)."""
    feature = next(one for one in declared[0] if one.name == name)
    counters = [one for one in declared[1] if one.name in feature.counters]
    ids = ids_of(history, Entity.CARD)
    card = {Entity.CARD: ids.code}
    values = counter_values(counters, log, {Entity.CARD: ids}, card, as_of_ms)
    amount = history.amount_ref.astype(np.float64)
    formulas = Formulas([feature], counters)
    return formulas.inputs(values, amount=amount, now_ms=history.received_ms)[:, 0]


def counter_values(
    counters: Sequence[Counter],
    log: EventLog,
    ids: Mapping[Entity, Ids],
    ask: Mapping[Entity, Int64s],
    ask_ms: Int64s,
) -> Float64s:
    """Counters as they stood, as `OnlineStore` would read them.

    Args:
        counters: which.
        log: the events.
        ids: by entity, of every attempt.
        ask: number of the id asked for, by entity, -1 for none, shape (asks,).
        ask_ms: as of when, exclusive, shape (asks,).

    Returns:
        Shape (asks, counters); NaN where no id is asked for.
    """
    everyone = np.ones(len(ask_ms), dtype=bool)
    return merged_values(counters, [Source(log, everyone)], ids, ask, ask_ms)


def merged_values(
    counters: Sequence[Counter],
    sources: Sequence[Source],
    ids: Mapping[Entity, Ids],
    ask: Mapping[Entity, Int64s],
    ask_ms: Int64s,
) -> Float64s:
    """As `counter_values`, of several sources: each counts alone, then `app.features.merge`'s way.

    Not the counters of all their events at once: shares of a bucket that are added up differ from
    the share of the sum in the last bit.

    Args:
        counters: which; those of links are no one source's, and only one may be asked for them.
        sources: in the order in which they are merged.
        ids: by entity, of every attempt.
        ask: number of the id asked for, by entity, -1 for none, shape (asks,).
        ask_ms: as of when, exclusive, shape (asks,).
    """
    values = np.full((len(ask_ms), len(counters)), np.nan)
    for at, counter in enumerate(counters):
        asked = ask[counter.entity]
        there, code = asked >= 0, np.maximum(asked, 0)
        merged = np.zeros(len(ask_ms), dtype=_KEPT_AS.get(counter.aggregate, np.float64))
        for source in sources:
            own = source.answers
            part = _value(counter, source.log, ids, code[own], ask_ms[own])
            merged[own] = _MERGED_BY.get(counter.aggregate, np.add)(merged[own], part)
        values[there, at] = _told(counter, merged)[there]
    return values


def seen_within(
    log: EventLog,
    ids: Ids,
    counters: Sequence[Counter],
    *,
    ask: Int64s,
    ask_ms: Int64s,
    horizon_ms: int,
) -> Bools:
    """Whether anything that these counters count happened to an id within the horizon."""
    events, code = _of(log, ids, _kinds(counters))
    last = last_of_events(
        entity=code,
        time_ms=log.at_ms[events],
        ask_entity=np.maximum(ask, 0),
        ask_ms=ask_ms,
        window_ms=horizon_ms,
    )
    return (ask >= 0) & (last > 0)


def _kinds(counters: Sequence[Counter]) -> Counted:
    """All kinds of events that some counters count or take off."""
    kinds = Counted.NOTHING
    for counter in counters:
        kinds |= counter.counts | counter.minus
    return kinds


# What is kept until all sources are in, and how two sources' are put together.
_KEPT_AS: Mapping[Aggregate, type[np.generic]] = {
    Aggregate.DISTINCT: np.uint64,
    Aggregate.LAST: np.int64,
}
_MERGED_BY: Mapping[Aggregate, np.ufunc] = {
    Aggregate.DISTINCT: np.bitwise_or,
    Aggregate.LAST: np.maximum,
}


def _told(counter: Counter, merged: npt.NDArray[Any]) -> Float64s:
    """The value of what was merged."""
    match counter.aggregate:
        case Aggregate.DISTINCT:
            counts: Float64s = np.bitwise_count(merged).astype(np.float64)
            return counts
        case Aggregate.LAST | Aggregate.LINKED:
            return np.asarray(merged, dtype=np.float64)
        case _:
            return np.asarray(np.maximum(merged, 0.0))


def _value(
    counter: Counter,
    log: EventLog,
    ids: Mapping[Entity, Ids],
    code: Int64s,
    ask_ms: Int64s,
) -> npt.NDArray[Any]:
    """What one source keeps: bitmaps, newest times, or totals that may be less than nothing."""
    if counter.aggregate is Aggregate.LINKED:
        linking = np.flatnonzero((log.what & int(counter.counts | counter.minus)) != 0)
        of = log.attempt[linking]
        return linked_of_events(
            counter,
            codes={entity: codes[of] for entity, codes in log.linking.items()},
            at_ms=log.at_ms[linking],
            known_ms=log.known_ms[linking],
            what=log.what[linking],
            ask=code,
            ask_ms=ask_ms,
        )
    events, entity = _of(log, ids[counter.entity], counter.counts)
    time_ms = log.at_ms[events]
    match counter.aggregate:
        case Aggregate.DISTINCT:
            assert counter.of is not None
            return distinct_of_events(
                counter.ring,
                entity=entity,
                time_ms=time_ms,
                bit=_bits(ids[counter.of], log.attempt[events]),
                ask_entity=code,
                ask_ms=ask_ms,
            )
        case Aggregate.LAST:
            return last_of_events(
                entity=entity,
                time_ms=time_ms,
                ask_entity=code,
                ask_ms=ask_ms,
                window_ms=counter.ring.window_ms,
            )
        case _:
            total = _sum(counter, log, events=events, entity=entity, code=code, ask_ms=ask_ms)
            if counter.minus:
                withdrawn, of = _of(log, ids[counter.entity], counter.minus)
                total = total - _sum(
                    counter, log, events=withdrawn, entity=of, code=code, ask_ms=ask_ms
                )
            return total


def _sum(
    counter: Counter,
    log: EventLog,
    *,
    events: Int64s,
    entity: Int64s,
    code: Int64s,
    ask_ms: Int64s,
) -> Float64s:
    amount = log.amount[events]
    value = {
        Aggregate.COUNT: np.ones(len(events), dtype=np.int64),
        Aggregate.SUM: amount,
        Aggregate.SQUARES: np.minimum(amount, SQUARED_AMOUNT_MAX) ** 2,
    }[counter.aggregate]
    known_ms = log.known_ms[events]
    if (known_ms > log.at_ms[events]).any():
        return sum_of_late(
            counter.ring,
            entity=entity,
            time_ms=log.at_ms[events],
            known_ms=known_ms,
            value=value,
            ask_entity=code,
            ask_ms=ask_ms,
        )
    return sum_of_events(
        counter.ring,
        entity=entity,
        time_ms=log.at_ms[events],
        value=value,
        ask_entity=code,
        ask_ms=ask_ms,
    )


def _of(log: EventLog, ids: Ids, kinds: Counted) -> tuple[Int64s, Int64s]:
    """Events of some kinds that have an id, and the number of that id."""
    code = ids.code[log.attempt]
    events = np.flatnonzero(((log.what & int(kinds)) != 0) & (code >= 0))
    return events, code[events]


def _bits(ids: Ids, attempts: Int64s) -> UInt64s:
    table = np.array([*(distinct_bit(name) for name in ids.names), 0], dtype=np.uint64)
    return table[ids.code[attempts]]
