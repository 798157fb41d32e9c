"""Kills what a supervisor leaves behind.

The kernel ends the supervisor's own children with it, but not their children: the workers of a
killed gunicorn would live on and keep the port. So this small process waits on a pipe from the
supervisor, is told which process groups there are (`+123`, `-123`, one a line), and kills those
that are left when the pipe ends. It imports the standard library only, and is run by its path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Wait for the end of standard input, then kill the groups that are left."""
    # It has to outlive whatever ends the supervisor.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
