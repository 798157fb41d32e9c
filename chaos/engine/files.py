"""Faults of files below the service's home."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from app.errors import OperatorError
from chaos.engine.ground import Ground
from chaos.engine.processes import NoOptions
from chaos.faults import file_broken, file_gone

__all__ = ["broken", "gone"]


def gone(ground: Ground, target: str, _options: NoOptions) -> AbstractContextManager[None]:
    """A file is not there."""
    return file_gone(_path(ground, target))


def broken(ground: Ground, target: str, _options: NoOptions) -> AbstractContextManager[None]:
    """A file holds something else."""
    return file_broken(_path(ground, target))


def _path(ground: Ground, target: str) -> Path:
    path = ground.home / target
    if not path.exists():
        raise OperatorError(f"{path} does not exist, and cannot be taken away.")
    return path
