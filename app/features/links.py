"""Identity links: the fraud labels of cards one hop away, as of a midnight.

Fraud is rarely alone: what steals one card pays with others from the same device, or under the
same e-mail address. With T the midnight and W the counter's window:

    links      hub x holds card c, if an attempt of [T - W, T) had both; a hub is a device or an
               e-mail address, and one with more than LINKS_MAX cards holds none: a kiosk
    mark(c)    sum over c's labels of [T - W, T), withdrawn ones taken off, of w(age in whole days)
    card       sum of the marks of the other cards that share a hub with it, each card once
    device     sum of the marks of the cards it holds

    w(age) = round(2^20 * 2^(-age / HALF_LIFE_DAYS)) / 2^20

Addresses of networks and terminals are shared by strangers and never link. Weights are summed as
integers, so that SQL and numpy agree to the last bit whatever the order. Only what had been
received before the midnight counts.

Labels are rare, so both start from them: only hubs that hold a labelled card are looked at.
"""

# ruff: noqa: S608 - statements are made of names and numbers of our own

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.features.events import Counted
from app.features.rings import Bools, Float64s, Int64s
from app.features.spec import DAY_MS, Counter, Entity

__all__ = ["HALF_LIFE_DAYS", "LINKING", "LINKS_MAX", "linked_of_events", "linked_sql"]

HUBS = (Entity.DEVICE, Entity.EMAIL)
LINKING = (Entity.CARD, *HUBS)
LINKS_MAX = 20
HALF_LIFE_DAYS = 14
UNIT = 2**20  # fixed point: 2^33 labels of full weight still sum exactly in a float64


def linked_sql(counter: Counter, *, events: str, as_of: str) -> str:
    """The counter of everyone who has one, as ClickHouse SQL.

    Args:
        counter: of aggregate "linked".
        events: rows of `app.features.sql.COUNTED`, a table expression.
        as_of: the midnight, an expression, ms since the epoch.

    Returns:
        A SELECT of `id` and `value`, Float64; who is not there has 0.

    Raises:
        ValueError: the counter would link strangers, or is of another entity.
    """
    near, apart = "hub", "true"
    if counter.entity is Entity.CARD:
        near, apart = "arrayJoin(cards)", "id != far"
    marked = _marked_sql(counter, events=events, as_of=as_of)
    return f"""
SELECT id, sum(mark) / {UNIT} AS value
FROM (
    SELECT DISTINCT id, far
    FROM (SELECT {near} AS id, cards FROM ({_linking_sql(counter, events=events, as_of=as_of)}))
    ARRAY JOIN cards AS far
    WHERE {apart}
) AS links
INNER JOIN ({marked}) AS marked USING (far)
GROUP BY id
"""


def _marked_sql(counter: Counter, *, events: str, as_of: str) -> str:
    """Cards with a mark: `far`, and `mark` in fixed point."""
    labels, age = _labels(counter), f"intDiv({as_of} - 1 - at_ms, {DAY_MS})"
    weight = f"toInt64({_weights(counter).tolist()}[{age} + 1])"
    return f"""
SELECT assumeNotNull(card) AS far,
    sum({weight} * (toInt64({_any(labels)}) - toInt64({_any(counter.minus)}))) AS mark
FROM {events}
WHERE {_within(counter, as_of)} AND {_any(labels | counter.minus)}
GROUP BY far
HAVING mark > 0
"""


def _linking_sql(counter: Counter, *, events: str, as_of: str) -> str:
    """Hubs that hold a marked card, and not too many: `hub`, and its `cards`."""
    hubs = ", ".join(f"({number}, {hub})" for number, hub in enumerate(_hubs(counter)))
    held = f"""
SELECT held.1 AS kind, assumeNotNull(held.2) AS hub, card
FROM (
    SELECT assumeNotNull(card) AS card, arrayJoin([{hubs}]) AS held
    FROM {events}
    WHERE {_within(counter, as_of)} AND {_any(Counted.ATTEMPTED)}
)
WHERE isNotNull(held.2)
"""
    marked = f"SELECT far FROM ({_marked_sql(counter, events=events, as_of=as_of)})"
    return f"""
SELECT hub, groupUniqArray({LINKS_MAX + 1})(card) AS cards
FROM ({held})
WHERE (kind, hub) IN (SELECT kind, hub FROM ({held}) WHERE card IN ({marked}))
GROUP BY kind, hub
HAVING length(cards) <= {LINKS_MAX}
"""


def _within(counter: Counter, as_of: str) -> str:
    since = f"{as_of} - {counter.ring.window_ms}"
    return f"isNotNull(card) AND at_ms >= {since} AND at_ms < {as_of}"


def linked_of_events(
    counter: Counter,
    *,
    codes: Mapping[Entity, Int64s],
    at_ms: Int64s,
    what: Int64s,
    ask: Int64s,
    ask_ms: Int64s,
    known_ms: Int64s | None = None,
) -> Float64s:
    """The same from the events themselves, as of any number of midnights.

    Args:
        counter: of aggregate "linked".
        codes: dense number of each event's card and hubs, -1 for none, shape (events,).
        at_ms: the time each event counts at.
        what: `Counted` flags.
        ask: number of the card or device asked for, shape (asks,).
        ask_ms: midnights.
        known_ms: when each event was received, where that may be later than it counts at.

    Returns:
        Shape (asks,).

    Raises:
        ValueError: the counter would link strangers, or is of another entity.
    """
    links = _Links(counter, codes, at_ms, what, at_ms if known_ms is None else known_ms)
    values = np.zeros(len(ask))
    for midnight_ms in np.unique(ask_ms):
        asks = np.flatnonzero(ask_ms == midnight_ms)
        values[asks] = links.totals(int(midnight_ms), int(ask[asks].max()) + 1)[ask[asks]]
    return values


class _Links:
    """Labels of a history, and the attempts at hubs that ever hold a labelled card."""

    def __init__(
        self,
        counter: Counter,
        codes: Mapping[Entity, Int64s],
        at_ms: Int64s,
        what: Int64s,
        known_ms: Int64s,
    ) -> None:
        card, hubs = codes[Entity.CARD], _hubs(counter)
        self._counter = counter
        self._weights = _weights(counter)
        self._cards = int(card.max(initial=0)) + 1
        fraud, withdrawn = what & int(_labels(counter)) != 0, what & int(counter.minus) != 0
        marks = np.flatnonzero((fraud | withdrawn) & (card >= 0))
        self._mark_card, self._mark_ms = card[marks], at_ms[marks]
        self._mark_known_ms = known_ms[marks]
        self._sign = fraud[marks].astype(np.int64) - withdrawn[marks]
        labelled = np.zeros(self._cards, dtype=bool)
        labelled[self._mark_card] = True
        attempts = np.flatnonzero((what & int(Counted.ATTEMPTED) != 0) & (card >= 0))
        of_hubs = [_touched(codes[hub], attempts, labelled[card[attempts]]) for hub in hubs]
        rows = np.concatenate(of_hubs)
        self._card, self._at_ms = card[rows], at_ms[rows]
        # Numbers of hubs of several kinds are interleaved; those of one kind stay as they are.
        self._hub = np.concatenate(
            [
                codes[hub][of] * len(hubs) + at
                for at, (hub, of) in enumerate(zip(hubs, of_hubs, strict=True))
            ]
        )

    def totals(self, midnight_ms: int, size: int) -> Float64s:
        """Values as of a midnight of the first `size` cards or devices, shape (size,)."""
        mark = self._marks(midnight_ms)
        hub, card = self._held(midnight_ms)
        marked = np.flatnonzero(mark[card] > 0)
        if self._counter.entity is Entity.CARD:
            near, far = self._neighbours(hub, card, marked)
        else:
            near, far = hub[marked], card[marked]
        inside = near < size
        total = np.bincount(near[inside], weights=mark[far[inside]], minlength=size)
        return np.asarray(total / UNIT)

    def _marks(self, midnight_ms: int) -> Int64s:
        """Mark of every card, fixed point, shape (cards,)."""
        rows = self._within(self._mark_ms, midnight_ms)
        rows = rows[self._mark_known_ms[rows] < midnight_ms]
        age = (midnight_ms - 1 - self._mark_ms[rows]) // DAY_MS
        mark = np.zeros(self._cards, dtype=np.int64)
        np.add.at(mark, self._mark_card[rows], self._sign[rows] * self._weights[age])
        return np.maximum(mark, 0)

    def _held(self, midnight_ms: int) -> tuple[Int64s, Int64s]:
        """Links in force, by hub: hub and card of each, without hubs that hold too many."""
        rows = self._within(self._at_ms, midnight_ms)
        pairs = np.unique(self._hub[rows] * self._cards + self._card[rows])
        hub, card = pairs // self._cards, pairs % self._cards
        _, of, degree = np.unique(hub, return_inverse=True, return_counts=True)
        few = degree[of] <= LINKS_MAX
        return hub[few], card[few]

    def _neighbours(self, hub: Int64s, card: Int64s, marked: Int64s) -> tuple[Int64s, Int64s]:
        """Pairs of a card and a marked other one, each once, from links by hub."""
        first = np.searchsorted(hub, hub[marked], side="left")
        degree = np.searchsorted(hub, hub[marked], side="right") - first
        ends = np.cumsum(degree)
        beside = np.arange(degree.sum()) - np.repeat(ends - degree - first, degree)
        near, far = card[beside], np.repeat(card[marked], degree)
        pairs = np.unique((near * self._cards + far)[near != far])
        return pairs // self._cards, pairs % self._cards

    def _within(self, at_ms: Int64s, midnight_ms: int) -> Int64s:
        since_ms = midnight_ms - self._counter.ring.window_ms
        return np.flatnonzero((at_ms >= since_ms) & (at_ms < midnight_ms))


def _touched(hub: Int64s, attempts: Int64s, labelled: Bools) -> Int64s:
    """Those of the attempts that are at hubs which hold a labelled card."""
    there = hub[attempts] >= 0
    rows, labelled = attempts[there], labelled[there]
    touched = np.zeros(int(hub.max(initial=-1)) + 1, dtype=bool)
    touched[hub[rows[labelled]]] = True
    return rows[touched[hub[rows]]]


def _hubs(counter: Counter) -> tuple[Entity, ...]:
    """What the links of a counter go through: of a device, the device itself.

    Raises:
        ValueError: it would link strangers, or is of another entity.
    """
    hubs = counter.via if counter.entity is Entity.CARD else (counter.entity,)
    if not hubs or not set(hubs) <= set(HUBS):
        raise ValueError(f"{counter.name}: only {' and '.join(HUBS)} link cards")
    return hubs


def _labels(counter: Counter) -> Counted:
    """What marks a card: all that counts but the attempts, which link."""
    return counter.counts & ~Counted.ATTEMPTED


def _weights(counter: Counter) -> Int64s:
    """Weight of a label by its age in whole days, fixed point."""
    age = np.arange(-(-counter.ring.window_ms // DAY_MS))
    weights: Int64s = np.rint(UNIT * np.exp2(-age / HALF_LIFE_DAYS)).astype(np.int64)
    return weights


def _any(kinds: Counted) -> str:
    return f"(bitAnd(what, {int(kinds)}) != 0)"
