"""Whether the machine stood still, as seen by what goes before everything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from chaos.engine import standstill


def may_go_first():
    """Whether this machine lets us be scheduled in real time."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


@pytest.fixture
def sleeper(monkeypatch):
    """The process that is watched with, once it is there."""
    made = []

    class Remembered(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(standstill.subprocess, "Popen", Remembered)
    return made


def test_a_sleeper_that_was_held_up_says_for_how_long(sleeper):
    if not may_go_first():
        pytest.skip("real-time scheduling takes a privilege that is missing here (CAP_SYS_NICE)")
    with standstill.watched() as stood:
        time.sleep(0.7)
        sleeper[0].send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        sleeper[0].send_signal(signal.SIGCONT)
        time.sleep(0.1)
    assert 250 < stood.still_ms < 5_000


def test_without_the_privilege_nothing_is_said():
    words = "import os; os.sched_setscheduler = lambda *_: (_ for _ in ()).throw(PermissionError)"
    told = subprocess.run(
        [sys.executable, "-c", f"{words}; from chaos.engine.standstill import _main; _main()"],
        input=b"",
        capture_output=True,
        check=True,
    )
    assert told.stdout == b""
