from __future__ import annotations

import logging

import pytest

from fallback.events import RungTaken, SafeListener
from fallback.rung import RungName

EVENT = RungTaken(rung=RungName.FULL, elapsed_ms=3.0)


def test_events_reach_the_listener_unchanged():
    heard = []
    SafeListener(heard.append)(EVENT)
    assert heard == [EVENT]


def test_a_listener_that_raises_is_counted_and_logged_and_hurts_nobody(caplog):
    def broken(_event):
        raise OSError("metrics socket gone")

    listener = SafeListener(broken)
    with caplog.at_level(logging.ERROR, logger="fallback.events"):
        for _ in range(5):
            listener(EVENT)
    assert listener.failures == 5
    assert [record.getMessage() for record in caplog.records] == [
        f"a listener raised on RungTaken, failure {number}" for number in (1, 2, 4)
    ]


def test_a_listener_may_stop_the_process():
    def stop(_event):
        raise SystemExit

    with pytest.raises(SystemExit):
        SafeListener(stop)(EVENT)
