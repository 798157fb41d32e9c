"""What is played, in the order in which it happened: attempts, and labels as they arrive.

In lockstep every attempt must see what came before it and nothing else. Waiting behind each one for
the counters costs milliseconds, so attempts are grouped that cannot interact: no two of them share
an entity that either one changes. Within such a group the order does not matter; between groups
everything is waited for.

    attempt after attempt   interact if they share an entity that attempts are counted of; of the
                            same millisecond they do not, since none counts for the other
    attempt and label       interact if they share an entity that labels are counted of
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from app.features.events import Counted
from app.features.packed import layouts_of
from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.models.training.history import NEVER_MS, History, HistoryError, ids_of

__all__ = ["Event", "Group", "Script", "script_of"]

OF_ATTEMPTS = Counted.ATTEMPTED | Counted.STEPPED_UP | Counted.DECLINED | Counted.LARGE
OF_LABELS = Counted.FRAUD


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        row: of the attempt in the history.
        at_ms: when, ms since the epoch.
        label: whether it is the attempt's fraud label; else it is the attempt.
    """

    row: int
    at_ms: int
    label: bool


@dataclass(slots=True)
class Group:
    """Events that cannot interact.

    Attributes:
        attempts: rows, in order.
        labels: rows of the attempts that are labelled, in order.
        tied: some attempts of the same millisecond share an entity: none may be counted before
            all of them are decided.
    """

    attempts: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    tied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is played.

    Attributes:
        history: warm-up and period, nothing else.
        first: row of the first attempt that is posted.
        days: played, counted from the epoch.
        attempted: numbers of the entities that attempts are counted of, -1 for none, shape
            (attempts, entities).
        labelled: the same of labels.
    """

    history: History
    first: int
    days: range
    attempted: Int64s
    labelled: Int64s

    @property
    def warm_up(self) -> History:
        """The attempts before the period."""
        return self.history.take(np.arange(self.first))

    @property
    def rows(self) -> Int64s:
        """Rows of the attempts that are posted."""
        return np.arange(self.first, len(self.history))

    def labels(self) -> Int64s:
        """Rows whose label arrives while the period is played, of the warm-up's too."""
        arrived_ms = self.history.labelled_ms
        # As the import of the warm-up has it: what had arrived by its end, is known already.
        since_ms = (int(self.history.day[self.first - 1]) + 1) * DAY_MS
        return np.flatnonzero((arrived_ms >= since_ms) & (arrived_ms < self.days.stop * DAY_MS))

    def events(self, day: int) -> list[Event]:
        """What happens on a day, in order: of one millisecond, attempts before labels.

        So no label counts for an attempt of its own millisecond, as in training.
        """
        history, labels = self.history, self.labels()
        rows = np.concatenate([self.rows, labels])
        at_ms = np.concatenate([history.received_ms[self.rows], history.labelled_ms[labels]])
        is_label = np.repeat([False, True], [len(self.rows), len(labels)])
        of_day = at_ms // DAY_MS
        # What arrived between the warm-up's last day and the period is delivered first.
        today = (of_day == day) | ((of_day < day) & (day == self.days.start))
        order = np.flatnonzero(today)
        order = order[np.lexsort((rows[order], is_label[order], at_ms[order]))]
        return [
            Event(row, at, label)
            for row, at, label in zip(
                rows[order].tolist(), at_ms[order].tolist(), is_label[order].tolist(), strict=True
            )
        ]

    def groups(self, day: int, *, size_max: int) -> Iterator[Group]:
        """The day's events in groups that cannot interact, in order."""
        growing = _Growing(self)
        for event in self.events(day):
            if growing.meets(event) or (growing.size >= size_max and not growing.ties(event)):
                yield growing.group
                growing = _Growing(self)
            growing.add(event)
        if growing.size:
            yield growing.group


class _Growing:
    """A group, and the entities in it."""

    def __init__(self, script: Script) -> None:
        self.group = Group()
        self._attempted = script.attempted
        self._labelled = script.labelled
        self._at_ms: dict[int, int] = {}  # of the last attempt of an entity
        self._read: set[int] = set()  # entities with labels that an attempt reads
        self._told: set[int] = set()  # entities that a label is of

    @property
    def size(self) -> int:
        """Events in it."""
        return len(self.group.attempts) + len(self.group.labels)

    def meets(self, event: Event) -> bool:
        """Whether the event and one of the group interact."""
        told = self._labelled[event.row].tolist()
        if event.label:
            return not self._read.isdisjoint(told)
        return not self._told.isdisjoint(told) or any(
            self._at_ms.get(entity, event.at_ms) < event.at_ms
            for entity in self._attempted[event.row].tolist()
        )

    def ties(self, event: Event) -> bool:
        """Whether it shares an entity with an attempt of its own millisecond."""
        return not event.label and any(
            self._at_ms.get(entity) == event.at_ms for entity in self._attempted[event.row].tolist()
        )

    def add(self, event: Event) -> None:
        """Take the event in."""
        told = _known(self._labelled[event.row])
        if event.label:
            self.group.labels.append(event.row)
            self._told.update(told)
            return
        self.group.tied |= self.ties(event)
        self.group.attempts.append(event.row)
        self._read.update(told)
        for entity in _known(self._attempted[event.row]):
            self._at_ms[entity] = event.at_ms


def script_of(
    history: History, features: FeatureSet, *, warm_from_day: int, from_day: int, to_day: int
) -> Script:
    """Cut a history to what is played.

    Args:
        history: all attempts.
        features: what is counted.
        warm_from_day: first day of the warm-up, counted from the epoch.
        from_day: first day that is posted.
        to_day: last day that is posted.

    Raises:
        HistoryError: a day is missing, or the days are not in order.
    """
    if not warm_from_day < from_day <= to_day:
        raise HistoryError(
            "the warm-up begins before the first day, which is no later than the last."
        )
    first, last = int(history.day[0]), int(history.day[-1])
    if warm_from_day < first or to_day > last:
        days = " to ".join(str(np.datetime64(day, "D")) for day in (first, last))
        raise HistoryError(f"the data spans {days}; play days of these.")
    day = history.day
    cut = history.take(np.flatnonzero((day >= warm_from_day) & (day <= to_day)))
    posted = int(np.searchsorted(cut.day, from_day))
    if posted in (0, len(cut)):
        raise HistoryError("there are no attempts to warm up with, or none to post.")
    # A label that comes after the period is one that nobody knows of in it.
    end_ms = (to_day + 1) * DAY_MS
    known_ms = np.where(cut.labelled_ms < end_ms, cut.labelled_ms, NEVER_MS)
    layouts = layouts_of(features)
    return Script(
        history=replace(cut, labelled_ms=known_ms),
        first=posted,
        days=range(from_day, to_day + 1),
        attempted=_numbers(cut, [e for e, of in layouts.items() if of.layout.counts & OF_ATTEMPTS]),
        labelled=_numbers(cut, [e for e, of in layouts.items() if of.layout.counts & OF_LABELS]),
    )


def _numbers(history: History, entities: list[Entity]) -> Int64s:
    """Ids of several entities as numbers that differ between them too, -1 for none."""
    columns, taken = [np.full(len(history), -1)], 0
    for entity in entities:
        ids = ids_of(history, entity)
        columns.append(np.where(ids.code < 0, -1, ids.code + taken))
        taken += len(ids.names)
    return np.stack(columns[1:] or columns, axis=1)


def _known(numbers: Int64s) -> list[int]:
    return [number for number in numbers.tolist() if number >= 0]
