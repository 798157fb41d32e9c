"""Faults as scoped blocks: inside the block the fault is there, after it everything is back.

Files are taken away and put back by renames, so that a watcher sees either state and never a half.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regions.world.control import World

__all__ = ["file_broken", "file_gone", "folder_unusable", "process_down", "store_emptied"]

READY_TIMEOUT_S = 15.0


@contextmanager
def process_down(world: World, name: str) -> Iterator[None]:
    """A process is killed (SIGKILL) and kept down."""
    world.hold(name)
    try:
        yield
    finally:
        world.release(name)
        world.wait_ready(name, timeout_s=READY_TIMEOUT_S)


@contextmanager
def store_emptied(world: World, name: str, folder: Path) -> Iterator[None]:
    """A datastore is killed and kept down, and comes back without anything it held.

    Args:
        world: that runs it.
        name: of the process.
        folder: of the server's data.
    """
    world.hold(name)
    try:
        shutil.rmtree(folder / "appendonlydir")
        yield
    finally:
        world.release(name)
        world.wait_ready(name, timeout_s=READY_TIMEOUT_S)


@contextmanager
def file_gone(path: Path) -> Iterator[None]:
    """A file is not there."""
    aside = _set_aside(path)
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def file_broken(path: Path, content: bytes = b"\xff not what it was") -> Iterator[None]:
    """A file holds something else."""
    aside = _set_aside(path)
    broken = path.with_name(f"{path.name}.broken")
    broken.write_bytes(content)
    broken.rename(path)
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def folder_unusable(path: Path) -> Iterator[None]:
    """Nothing can be read from a folder or written to it, nor can it be made anew."""
    aside = _set_aside(path)
    path.write_bytes(b"not a folder")
    try:
        yield
    finally:
        path.unlink()
        aside.rename(path)


def _set_aside(path: Path) -> Path:
    """Move a file or folder out of the way, to a name that faults inside this one do not take."""
    aside = path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}")
    path.rename(aside)
    return aside
