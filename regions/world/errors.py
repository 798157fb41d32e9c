"""What can go wrong with the local world, each as one sentence for the person at the terminal.

WorldError
|- SettingsError        a setting has a value that cannot be
|- BusyPortError        another program has a port that we need
|- LockHeldError        another command or supervisor works on this home
|- NotRunningError      no supervisor answers
|- NotReadyError        a process does not become ready
`- RefusedError         the supervisor refused a request
"""

from __future__ import annotations

__all__ = [
    "BusyPortError",
    "LockHeldError",
    "NotReadyError",
    "NotRunningError",
    "RefusedError",
    "SettingsError",
    "WorldError",
]


class WorldError(Exception):
    """Base of all: its text is one sentence that says what to do where that is known."""


class SettingsError(WorldError):
    """A setting has a value that cannot be."""


class BusyPortError(WorldError):
    """Another program has a port that we need."""


class LockHeldError(WorldError):
    """Another command or supervisor works on this home."""


class NotRunningError(WorldError):
    """No supervisor answers."""


class NotReadyError(WorldError):
    """A process does not become ready.

    Attributes:
        log_tail: the last lines of its log, to be shown below the sentence.
    """

    def __init__(self, sentence: str, *, log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.log_tail = log_tail


class RefusedError(WorldError):
    """The supervisor refused a request, and said why."""
