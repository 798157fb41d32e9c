"""Outcomes and labels whose attempt is not known yet: the decision is in another journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from app.record.attempt import Attempt, name_of
from app.record.joining import Said

__all__ = ["Waiting"]


class Waiting:
    """Finds what waits for an attempt, and what has waited long enough."""

    def __init__(self, said: Iterable[Said], *, wait_ms: int, waiting_max: int) -> None:
        """Start with what waits already.

        Args:
            said: all of it.
            wait_ms: how long each waits.
            waiting_max: how many may; the longest waiting go first.
        """
        self._wait_ms = wait_ms
        self._waiting_max = waiting_max
        self._said: dict[tuple[int, ...], Said] = {}  # the longest waiting first
        self._of: dict[bytes, list[Said]] = {}  # by each name that its attempt may come under
        for one in sorted(said, key=lambda one: one.since_ms):
            self.add(one)

    def __len__(self) -> int:
        return len(self._said)

    def add(self, said: Said) -> None:
        """Let one wait."""
        self._said[said.of] = said
        for name in _names(said):
            self._of.setdefault(name, []).append(said)

    def for_attempt(self, attempt: Attempt) -> list[Said]:
        """Take out what waits for an attempt."""
        if not self._said:
            return []
        names = attempt.decision, name_of(attempt.tenant, attempt.attempt_id)
        found = {said.of: said for name in names for said in self._of.get(name, ())}
        for said in found.values():
            self._remove(said)
        return list(found.values())

    def over(self, now_ms: int, *, limit: int) -> list[Said]:
        """Take out, the longest waiting first, those whose time is over.

        Args:
            now_ms: ms since the epoch.
            limit: how many at most.
        """
        last_ms = now_ms - self._wait_ms
        found: list[Said] = []
        for said in self._said.values():
            if said.since_ms > last_ms or len(found) == limit:
                break
            found.append(said)
        return self._removed(found)

    def too_many(self) -> list[Said]:
        """Take out, the longest waiting first, those that are too many."""
        excess = len(self._said) - self._waiting_max
        return self._removed(list(islice(self._said.values(), max(0, excess))))

    def _removed(self, found: list[Said]) -> list[Said]:
        for said in found:
            self._remove(said)
        return found

    def _remove(self, said: Said) -> None:
        del self._said[said.of]
        for name in _names(said):
            others = [other for other in self._of[name] if other.of != said.of]
            if others:
                self._of[name] = others
            else:
                del self._of[name]


def _names(said: Said) -> Iterator[bytes]:
    if said.decision is not None:
        yield said.decision
    if said.attempt_id is not None:
        yield name_of(said.tenant, said.attempt_id)
