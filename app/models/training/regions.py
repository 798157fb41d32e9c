"""What a region is worth: inputs as they would have been with one home region's counters away.

Each home region counts the attempts that it received and what followed them, and a read merges the
regions' counters (`app.features.merge`). A copy of a row lacks one of them: the same sources, each
asked alone and merged in the same order, so a copy is to the bit what serving reads while that
source fails. What cannot be merged away stays: the batch inputs, and that an attempt was marked
as large when it happened, by all counters.

Which region received an attempt is taken from the history where that names at least two. Where it
does not, three are drawn, by hash and so the same each time: an attempt is received in the home
region of its card, a third of the cards each, but for one attempt in ten, which is received in one
of the two others. People mostly pay from where they live, and a request goes to the nearest region;
travel, a merchant's own servers and a client that failed over are the tenth. So what is lost with a
region is most of some cards, and a part of every merchant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xxhash

from app.features.rings import Int64s, UInt64s
from app.features.spec import Entity, FeatureSet
from app.models.training.counters import EventLog, Source
from app.models.training.history import History, Ids, encoded, ids_of
from app.models.training.inputs import Table, put_streaming

__all__ = ["COUNTED", "REGIONS", "Received", "RegionsAway", "received_in"]

# Home regions whose counters a read merges at most.
REGIONS = 3
COUNTED = {2: "two", 3: "three"}
# Of the attempts of a card, one in so many is received away from its home region.
AWAY_FROM_HOME = 10


@dataclass(frozen=True, slots=True)
class Received:
    """Where the attempts of a history were received.

    Attributes:
        region: home region of each attempt's counters, from 0, shape (attempts,).
        regions: how many there are, two or three.
        drawn: the history does not say; they were drawn.
    """

    region: Int64s
    regions: int
    drawn: bool


def received_in(history: History) -> Received:
    """Home region of every attempt: the history's own where it names several, else drawn."""
    if "region" in history.attempts.column_names:
        code = np.maximum(encoded(history.attempts["region"])[0], 0)
        traffic = np.bincount(code, minlength=1)
        if np.count_nonzero(traffic) > 1:
            # The busiest first; of more than three, each takes one of the three as its home.
            place = np.argsort(np.argsort(-traffic, kind="stable"))
            regions = min(REGIONS, int(np.count_nonzero(traffic)))
            return Received(place[code] % regions, regions, drawn=False)
    return Received(_drawn(history), REGIONS, drawn=True)


def _drawn(history: History) -> Int64s:
    once = _hashes(history.attempts["attempt_id"].to_pylist())
    card = ids_of(history, Entity.CARD)
    # An attempt without a card has a home of its own.
    home = np.concatenate([_hashes(card.names), [0]]).astype(np.uint64)[card.code]
    home = np.where(card.code >= 0, home, once // np.uint64(AWAY_FROM_HOME)) % np.uint64(REGIONS)
    elsewhere = once % np.uint64(AWAY_FROM_HOME) == 0
    further = 1 + once // np.uint64(AWAY_FROM_HOME * REGIONS) % np.uint64(REGIONS - 1)
    return (np.where(elsewhere, home + further, home) % np.uint64(REGIONS)).astype(np.int64)


def _hashes(names: list[str]) -> UInt64s:
    return np.array([xxhash.xxh64_intdigest(name.encode()) for name in names], dtype=np.uint64)


class RegionsAway:
    """Rows of a history with one region's counters away."""

    def __init__(
        self, history: History, features: FeatureSet, received: Received | None = None
    ) -> None:
        """Make it; what costs time is done when the first rows are asked for.

        Args:
            history: all attempts.
            features: what the models see.
            received: where; by default as `received_in` says.
        """
        self._history = history
        self._features = features
        self._given = received

    @cached_property
    def received(self) -> Received:
        """Where the attempts were received."""
        return self._given or received_in(self._history)

    def copies(self, table: Table, rows: Int64s, away: Int64s) -> Table:
        """Inputs of attempts while the counters of one region are away.

        Args:
            table: inputs of all attempts of the history.
            rows: of the attempts.
            away: the region that is away, of each.

        Returns:
            A row an attempt, in the order given.
        """
        history, regions = self._history, self.received.regions
        copies = table.take(rows)
        if not len(rows):
            return copies
        now_ms = history.received_ms[rows]
        put_streaming(
            copies,
            [Source(log, away != at) for at, log in enumerate(self._counted(now_ms))],
            self._ids,
            rows=rows,
            now_ms=now_ms,
            amount=history.amount_ref[rows].astype(np.float64),
            regions_present=(regions - 1) / regions,
        )
        return copies

    def each(self, table: Table, rows: Int64s) -> list[Table]:
        """The copies of all these attempts, with each of the regions away in turn."""
        regions = np.arange(self.received.regions)
        # All at once: events are sorted once a call.
        copies = self.copies(table, np.tile(rows, len(regions)), np.repeat(regions, len(rows)))
        return [copies.take(np.arange(len(rows)) + at * len(rows)) for at in regions]

    def _counted(self, now_ms: Int64s) -> list[EventLog]:
        """What each region counted of what may matter to those who ask at these moments."""
        features, log = self._features, self._log
        horizon_ms = max(features.horizon_ms(entity) for entity in features.entities)
        near = (log.at_ms >= now_ms.min() - horizon_ms) & (log.at_ms < now_ms.max())
        region = self.received.region[log.attempt]
        return [log.of(near & (region == at)) for at in range(self.received.regions)]

    @cached_property
    def _log(self) -> EventLog:
        return EventLog.marked(self._history, self._features)

    @cached_property
    def _ids(self) -> dict[Entity, Ids]:
        return {entity: ids_of(self._history, entity) for entity in Entity}
