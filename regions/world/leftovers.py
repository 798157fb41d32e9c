"""What an earlier supervisor left behind: found by the state file, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import msgspec

from regions.world.home import Home
from regions.world.procfs import ProcessId, boot_id, is_running, session_members

__all__ = ["Group", "State", "clean_up", "end_supervisor", "read_state"]

_GONE_TIMEOUT_S = 5.0
_POLL_S = 0.02


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A process group that a supervisor started.

    Attributes:
        leader: its first process; None when that had ended before it could be looked at.
        session: number of its session, which is the leader's.
    """

    leader: ProcessId | None
    session: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a running supervisor writes down about itself."""

    boot: str
    supervisor: ProcessId | None
    groups: tuple[Group, ...]


def read_state(home: Home) -> State | None:
    """The last supervisor's state; None when it ended properly or the machine has rebooted."""
    try:
        state = msgspec.json.decode(home.state.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return state if state.boot == boot_id() else None


def clean_up(home: Home) -> str | None:
    """End what a killed supervisor left; to be called with the lock held.

    Returns:
        One sentence about what was found, or None when there was nothing.
    """
    found = home.state.exists() or home.socket.exists()
    if not found:
        return None
    state = read_state(home)
    left = _kill(state.groups) if state else 0
    home.remove_socket()
    home.state.unlink(missing_ok=True)
    ended = f"ended {left} leftover process{'' if left == 1 else 'es'} and " if left else ""
    return f"an earlier supervisor had ended without stopping: {ended}removed its files."


def end_supervisor(home: Home) -> bool:
    """Kill a supervisor that does not answer; whether there was one."""
    state = read_state(home)
    if state is None or state.supervisor is None or not is_running(state.supervisor):
        return False
    os.kill(state.supervisor.pid, signal.SIGKILL)
    return True


def _kill(groups: tuple[Group, ...]) -> int:
    """Kill every process of these groups' sessions, and wait until they are gone."""
    members = {pid for group in groups for pid in _members(group)}
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end_s = time.monotonic() + _GONE_TIMEOUT_S
    while any(_members(group) for group in groups) and time.monotonic() < end_s:
        time.sleep(_POLL_S)
    return len(members)


def _members(group: Group) -> list[int]:
    """The group's processes that still run.

    The number of a session is not given to a new process while the session has members. So a
    leader that is another process than the recorded one means that ours has ended altogether.
    """
    members = session_members(group.session)
    if group.session in members and (group.leader is None or not is_running(group.leader)):
        return []
    return members
