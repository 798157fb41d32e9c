"""What decisions were made by, kept for replay: policies, rules, rate tables, by content.

    <folder>/<kind>/<identity>/…files…

Models and snapshots are versions already (`app.publish`); the files that people edit are copied
here the first time a scorer takes them into use, so that an old decision can be computed again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Archived", "archiving", "identity_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Archived(Generic[T]):
    """Something in force, and the identity of the files it was made from.

    Attributes:
        value: as loaded.
        identity: first 12 hex digits of the files' hash.
    """

    value: T
    identity: str


def archiving(
    folder: Path, load: Callable[[Path], T], *, beside: Sequence[str] = ()
) -> Callable[[Path], Archived[T]]:
    """A loader that keeps what it loads.

    Args:
        folder: where this kind is kept.
        load: makes the thing from the main file.
        beside: glob patterns, from the main file's folder, of files that belong to it.
    """

    def loaded(path: Path) -> Archived[T]:
        value = load(path)
        files = [path, *sorted(p for pattern in beside for p in path.parent.glob(pattern))]
        identity = identity_of(files)
        _keep(folder / identity, path.parent, files)
        return Archived(value, identity)

    return loaded


def identity_of(files: Sequence[Path]) -> str:
    """Identity of some files: their names and content."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _keep(target: Path, root: Path, files: Sequence[Path]) -> None:
    if target.exists():
        return
    staging = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    for path in files:
        copy = staging / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    try:
        staging.rename(target)
    except OSError:  # another worker was first
        shutil.rmtree(staging, ignore_errors=True)
