"""What is played, in the order in which it happened: attempts, and what was said of them later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.features.rings import Int64s
from app.features.spec import DAY_MS
from app.models.training.history import NEVER_MS, History, HistoryError
from app.play.follow_ups import FollowUp, follow_ups_of

__all__ = ["Event", "Script", "script_of"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        row: of the attempt in the history.
        at_ms: when, ms since the epoch.
        said: what was said of the attempt then; None where it is the attempt itself.
    """

    row: int
    at_ms: int
    said: FollowUp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is played.

    Attributes:
        history: warm-up and period, nothing else.
        first: row of the first attempt that is posted.
        days: played, counted from the epoch.
        follow_ups: received while the period is played, of the warm-up's attempts too, in order.
    """

    history: History
    first: int
    days: range
    follow_ups: Sequence[FollowUp]

    @property
    def warm_up(self) -> History:
        """The attempts before the period."""
        return self.history.take(np.arange(self.first))

    @property
    def rows(self) -> Int64s:
        """Rows of the attempts that are posted."""
        return np.arange(self.first, len(self.history))

    @property
    def since_ms(self) -> int:
        """From when on things are said; what was said before, the warm-up knows."""
        return _since_ms(self.history, self.first, self.days.start)

    def events(self, day: int) -> list[Event]:
        """What happens on a day, in order: of one millisecond, attempts before follow-ups.

        So no label counts for an attempt of its own millisecond, as in training. What was said
        between the warm-up's last day and the period is said first.
        """
        first = self.first + int(np.searchsorted(self.history.day[self.first :], day))
        last = self.first + int(np.searchsorted(self.history.day[self.first :], day + 1))
        received_ms = self.history.received_ms[first:last].tolist()
        attempts = [Event(first + at, at_ms) for at, at_ms in enumerate(received_ms)]
        begin_ms = self.since_ms if day == self.days.start else day * DAY_MS
        said = [
            Event(one.row, one.at_ms, one)
            for one in self.follow_ups
            if begin_ms <= one.at_ms < (day + 1) * DAY_MS
        ]
        return sorted([*attempts, *said], key=lambda event: event.at_ms)


def script_of(history: History, *, warm_from_day: int | None, from_day: int, to_day: int) -> Script:
    """Cut a history to what is played.

    Args:
        history: all attempts.
        warm_from_day: first day of the warm-up, counted from the epoch; None for no warm-up, so
            that nothing is said of earlier attempts either.
        from_day: first day that is posted.
        to_day: last day that is posted.

    Raises:
        HistoryError: a day is missing, or the days are not in order.
    """
    begin_day = from_day if warm_from_day is None else warm_from_day
    if warm_from_day is not None and warm_from_day >= from_day:
        raise HistoryError("the warm-up begins before the first day that is posted.")
    if to_day < from_day:
        raise HistoryError("the first day that is posted is no later than the last.")
    first, last = int(history.day[0]), int(history.day[-1])
    if begin_day < first or to_day > last:
        days = " to ".join(str(np.datetime64(day, "D")) for day in (first, last))
        raise HistoryError(f"the data spans {days}; play days of these.")
    day = history.day
    cut = history.take(np.flatnonzero((day >= begin_day) & (day <= to_day)))
    posted = int(np.searchsorted(cut.day, from_day))
    if posted == len(cut) or (posted == 0 and warm_from_day is not None):
        raise HistoryError("there are no attempts to warm up with, or none to post.")
    cut = _known_by(cut, (to_day + 1) * DAY_MS)
    since_ms = _since_ms(cut, posted, from_day)
    return Script(
        history=cut,
        first=posted,
        days=range(from_day, to_day + 1),
        follow_ups=follow_ups_of(cut, since_ms=since_ms),
    )


def _known_by(history: History, end_ms: int) -> History:
    """The history without what is received after the period: nobody knows of it in the period."""
    return replace(
        history,
        labelled_ms=np.where(history.labelled_ms < end_ms, history.labelled_ms, NEVER_MS),
        later=history.later.of(history.later.known_ms < end_ms),
    )


def _since_ms(history: History, first: int, from_day: int) -> int:
    """As the import of the warm-up has it: what was received by the end of its last day."""
    return (int(history.day[first - 1]) + 1 if first else from_day) * DAY_MS
