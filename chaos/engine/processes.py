"""Faults of processes."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec

from app.errors import OperatorError
from chaos.engine.ground import Ground
from chaos.faults import store_emptied
from chaos.precedence import behind
from regions.world.control import World

__all__ = ["NoOptions", "Signalled", "emptied", "held", "killed", "paused", "signalled"]

READY_S = 90.0
_AT_ONCE = 16


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault that is as it is."""


class Signalled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which signal, by name."""

    signal: str = "SIGTERM"


@contextmanager
def held(ground: Ground, names: list[str]) -> Iterator[None]:
    """Processes are killed at once and kept down; after the block they serve again."""
    world = ground.world
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            list(pool.map(world.hold, names))
            yield
        finally:
            with behind(lambda: _pids(world, names)):
                for name in names:
                    world.release(name)
                for name in names:
                    world.wait_ready(name, timeout_s=READY_S)


@contextmanager
def killed(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """Every process that a pattern names, as `*/scorer` does."""
    names = fnmatch.filter([spec.name for spec in ground.plan.processes], target)
    if not names:
        raise OperatorError(f"no process is named {target!r}; see 'stepdown status'.")
    with held(ground, names):
        yield


@contextmanager
def paused(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """A process and its children stand still; connections stay open."""
    name = _known(ground, target)
    ground.world.pause(name)
    try:
        yield
    finally:
        ground.world.resume(name)


@contextmanager
def signalled(ground: Ground, target: str, options: Signalled) -> Iterator[None]:
    """A process gets one signal, and is ready again when the block has ended."""
    name = _known(ground, target)
    ground.world.signal(name, options.signal)
    try:
        yield
    finally:
        ground.world.wait_ready(name, timeout_s=READY_S)


@contextmanager
def emptied(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """A datastore is away, and has lost everything when it is back."""
    with store_emptied(ground.world, _known(ground, target), ground.home / target):
        yield


def _pids(world: World, names: list[str]) -> list[int]:
    """The numbers of processes that run."""
    return [
        process.pid
        for process in world.status().processes
        if process.name in names and process.pid is not None
    ]


def _known(ground: Ground, name: str) -> str:
    """The name of a process.

    Raises:
        OperatorError: there is no such process.
    """
    if name not in {spec.name for spec in ground.plan.processes}:
        raise OperatorError(f"there is no process {name!r}; see 'stepdown status'.")
    return name
