"""What Linux says about processes and ports (`proc(5)`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ProcessId",
    "boot_id",
    "command_of",
    "identify",
    "is_running",
    "port_holder",
    "session_members",
]

_PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """A process, told apart from a later one with the same number.

    Attributes:
        pid: its number.
        start_ticks: when it started, in clock ticks since boot.
    """

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stat:
    state: str
    session: int
    start_ticks: int


def boot_id() -> str:
    """Differs after every boot: process numbers of another boot mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def identify(pid: int) -> ProcessId | None:
    """The process with this number, or None when there is none or only its exit status."""
    stat = _stat(pid)
    return None if stat is None else ProcessId(pid=pid, start_ticks=stat.start_ticks)


def is_running(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def session_members(session: int) -> list[int]:
    """The running processes of one session."""
    return [pid for pid in _pids() if (stat := _stat(pid)) and stat.session == session]


def command_of(pid: int) -> str:
    """A process's command line, or an empty text when it cannot be read."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace").strip()


def port_holder(port: int) -> int | None:
    """The process that listens on a TCP port, or None when that cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    return next((pid for pid in _pids() if sockets & _open_files(pid)), None)


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, so count the fields from behind it.
    rest = text.rpartition(")")[2].split()
    stat = _Stat(state=rest[0], session=int(rest[3]), start_ticks=int(rest[19]))
    return None if stat.state in "ZX" else stat


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _open_files(pid: int) -> set[str]:
    files = set()
    try:
        for entry in (_PROC / str(pid) / "fd").iterdir():
            files.add(str(entry.readlink()))
    except OSError:  # it ended meanwhile, or belongs to somebody else
        pass
    return files
