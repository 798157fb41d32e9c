"""Processes of a world go behind the others for as long as a block lasts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.precedence import LAST, LOOK_S, behind
from regions.world.precedence import session_niceness, set_session_niceness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="niceness is lowered by root alone")

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


def niceness(pid):
    return os.getpriority(os.PRIO_PROCESS, pid)


def children(pid):
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(child) for child in below.split()]


@pytest.fixture
def family():
    """A process with one below it."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE) as parent:
        while not children(parent.pid):
            time.sleep(0.01)
        yield parent.pid, children(parent.pid)[0]
        parent.stdin.close()


@pytest.fixture
def leader():
    """A process that leads a session."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process.pid
        process.stdin.close()


def test_a_process_and_those_below_it_go_behind_and_come_back(family):
    with behind(lambda: [family[0]]):
        time.sleep(3 * LOOK_S)
        assert [niceness(pid) for pid in family] == [LAST, LAST]
    assert [niceness(pid) for pid in family] == [0, 0]


def test_who_may_not_say_so_changes_nothing(family, monkeypatch):
    def refused(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "setpriority", refused)
        with behind(lambda: [family[0]]):
            time.sleep(2 * LOOK_S)
            assert niceness(family[0]) == 0


def test_a_process_that_ended_is_left_out():
    ended = subprocess.Popen(["true"])
    ended.wait()
    with behind(lambda: [ended.pid]):
        time.sleep(2 * LOOK_S)


def test_a_session_goes_behind_as_a_whole_and_comes_back(leader):
    if session_niceness(leader) is None:
        pytest.skip("this system does not share its processors among sessions")
    os.setpriority(os.PRIO_PROCESS, leader, 5)
    set_session_niceness(leader, 5)
    with behind(lambda: [leader]):
        time.sleep(3 * LOOK_S)
        assert session_niceness(leader) == LAST
    assert (session_niceness(leader), niceness(leader)) == (5, 5)


def test_the_session_of_others_stays_where_it_is(family):
    share = Path(f"/proc/{family[0]}/autogroup")
    if not share.exists():
        pytest.skip("this system does not share its processors among sessions")
    before = share.read_text()
    with behind(lambda: [family[0]]):
        time.sleep(3 * LOOK_S)
        assert share.read_text() == before


def test_a_load_goes_before_the_others():
    script = "from chaos.precedence import ahead; ahead(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as load:
        load.stdout.readline()
        assert os.sched_getscheduler(load.pid) == os.SCHED_RR
        load.stdin.close()
