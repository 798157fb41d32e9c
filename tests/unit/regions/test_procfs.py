"""Processes are told apart from later ones with the same number."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

from regions.world.procfs import command_of, identify, is_running, session_members


def test_a_process_is_itself_and_not_a_later_one_with_its_number():
    myself = identify(os.getpid())
    assert myself is not None
    assert is_running(myself)
    assert not is_running(dataclasses.replace(myself, start_ticks=myself.start_ticks + 1))


def test_a_process_of_which_only_the_exit_status_is_left_does_not_run():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()  # ends when the process does; it is not reaped before `wait`
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identify(process.pid) is None
    process.stdout.close()
    process.wait()


def test_the_members_of_a_session_include_its_leader():
    assert os.getpid() in session_members(os.getsid(0))


def test_a_command_line_is_read_as_words():
    command = [sys.executable, "-S", "-c", "print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # before it, the process may still be a copy of this one
        assert command_of(other.pid) == " ".join(command)
        other.communicate(b"\n")


def test_the_command_of_a_process_that_is_not_there_is_empty():
    assert command_of(2**30) == ""
