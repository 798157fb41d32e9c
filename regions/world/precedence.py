"""Who goes first, on one machine that stands for many.

In production scorers have hosts of their own. Here they share processors with the stores that they
ask, which go second, and with what follows an answer (counting, shipping, history), which goes
last: at three times the usual traffic that made the median answer 7 ms instead of 31 to 66.

Linux may share its processors among sessions before it looks at processes
(`sched_autogroup_enabled`, see sched(7)); niceness then counts within a session only, so both are
set. It takes a privilege to go ahead, and none to go behind.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["AHEAD", "BEHIND", "EVEN", "go", "session_niceness", "set_session_niceness"]

AHEAD, EVEN, BEHIND = -10, 0, 5


def go(niceness: int) -> None:
    """Have this process, and all that it starts, go before or behind others, as far as it may."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    with contextlib.suppress(OSError):
        set_session_niceness(os.getpid(), niceness)


def session_niceness(pid: int) -> int | None:
    """Of the session that a process leads; None where it leads none, or none that has a share.

    Raises:
        OSError: there is no such process.
    """
    share = Path(f"/proc/{pid}/autogroup")
    if os.getsid(pid) != pid or not share.exists():
        return None
    words = share.read_text("ascii").split()
    return int(words[-1]) if words else None


def set_session_niceness(pid: int, niceness: int) -> None:
    """Of the session that a process leads; one that it is merely part of holds others, too.

    Raises:
        OSError: there is no such process, or it takes a privilege.
    """
    if session_niceness(pid) is not None:
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness), "ascii")
