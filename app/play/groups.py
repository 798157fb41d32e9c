"""Events that cannot interact, in groups: what lockstep may post together.

In lockstep every attempt must see what came before it and nothing else. Waiting behind each one for
the counters costs milliseconds, so attempts are grouped that cannot interact: no two of them share
an entity that either one changes. Within such a group the order does not matter; between groups
everything is waited for.

    attempt after attempt     interact if they share an entity that attempts are counted of; of the
                              same millisecond they do not, since none counts for the other
    attempt and follow-up     interact if they share an entity that such a follow-up is counted of
    label after label         interact if they are of one attempt: each changes its class
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.features.events import Counted
from app.features.packed import layouts_of
from app.features.rings import Int64s
from app.features.spec import Entity, FeatureSet
from app.models.training.history import History, ids_of
from app.play.follow_ups import FollowUp
from app.play.script import Event, Script

__all__ = ["Group", "Groups"]

OF_ATTEMPTS = Counted.ATTEMPTED | Counted.STEPPED_UP | Counted.DECLINED | Counted.LARGE
ANYTHING = ~Counted.NOTHING


@dataclass(slots=True)
class Group:
    """Events that cannot interact.

    Attributes:
        attempts: rows, in order.
        said: of attempts, in order.
        tied: some attempts of the same millisecond share an entity: none may be counted before
            all of them are decided.
    """

    attempts: list[int] = field(default_factory=list)
    said: list[FollowUp] = field(default_factory=list)
    tied: bool = False


class Groups:
    """Cuts a script's days into groups."""

    def __init__(self, script: Script, features: FeatureSet) -> None:
        """Prepare.

        Args:
            script: what is played.
            features: what is counted.
        """
        self._script = script
        layouts = layouts_of(features)
        self._entities = _Entities(
            _numbers(script.history, list(layouts)),
            [of.layout.counts for of in layouts.values()],
        )

    def of_day(self, day: int, *, size_max: int) -> Iterator[Group]:
        """The day's events in groups that cannot interact, in order."""
        growing = _Growing(self._entities)
        for event in self._script.events(day):
            if growing.meets(event) or (growing.size >= size_max and not growing.ties(event)):
                yield growing.group
                growing = _Growing(self._entities)
            growing.add(event)
        if growing.size:
            yield growing.group


class _Entities:
    """Which entities attempts have, and what is counted of each."""

    def __init__(self, numbers: Int64s, counts: Sequence[int]) -> None:
        """Keep them.

        Args:
            numbers: of the entities of each attempt, -1 for none, shape (attempts, entities).
            counts: `Counted` flags of each entity.
        """
        self._numbers = numbers
        self._counts = counts
        self._columns: dict[int, list[int]] = {}

    def of(self, row: int, counts: Counted) -> list[int]:
        """Those of an attempt that any of these is counted of."""
        if (columns := self._columns.get(counts)) is None:
            columns = [at for at, of in enumerate(self._counts) if of & counts]
            self._columns[counts] = columns
        numbers = self._numbers[row].tolist()
        return [numbers[at] for at in columns if numbers[at] >= 0]


class _Growing:
    """A group, and the entities in it."""

    def __init__(self, entities: _Entities) -> None:
        self.group = Group()
        self._of = entities.of
        self._at_ms: dict[int, int] = {}  # of the last attempt of an entity
        self._read: set[int] = set()  # entities of attempts
        self._told: set[int] = set()  # entities that follow-ups are counted of
        self._labelled: set[int] = set()  # rows

    @property
    def size(self) -> int:
        """Events in it."""
        return len(self.group.attempts) + len(self.group.said)

    def meets(self, event: Event) -> bool:
        """Whether the event and one of the group interact."""
        if event.said is not None:
            again = event.said.label and event.row in self._labelled
            return again or not self._read.isdisjoint(self._of(event.row, event.said.counts))
        return not self._told.isdisjoint(self._of(event.row, ANYTHING)) or any(
            self._at_ms.get(entity, event.at_ms) < event.at_ms
            for entity in self._of(event.row, OF_ATTEMPTS)
        )

    def ties(self, event: Event) -> bool:
        """Whether it shares an entity with an attempt of its own millisecond."""
        return event.said is None and any(
            self._at_ms.get(entity) == event.at_ms for entity in self._of(event.row, OF_ATTEMPTS)
        )

    def add(self, event: Event) -> None:
        """Take the event in."""
        if event.said is not None:
            self.group.said.append(event.said)
            self._told.update(self._of(event.row, event.said.counts))
            if event.said.label:
                self._labelled.add(event.row)
            return
        self.group.tied |= self.ties(event)
        self.group.attempts.append(event.row)
        self._read.update(self._of(event.row, ANYTHING))
        for entity in self._of(event.row, OF_ATTEMPTS):
            self._at_ms[entity] = event.at_ms


def _numbers(history: History, entities: list[Entity]) -> Int64s:
    """Ids of entities as numbers that differ between entities too, -1 for none."""
    columns, taken = [], 0
    for entity in entities:
        ids = ids_of(history, entity)
        columns.append(np.where(ids.code < 0, -1, ids.code + taken))
        taken += len(ids.names)
    return np.stack(columns, axis=1)
