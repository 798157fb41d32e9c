"""A clock that moves when told to, for both kinds of time."""

from __future__ import annotations

import pytest

from fallback.clock import ManualClock


class BothClocks(ManualClock):
    def wall(self) -> float:
        return 1_783_000_000.0 + self.monotonic()


@pytest.fixture
def clock() -> BothClocks:
    return BothClocks(start_s=100.0)
