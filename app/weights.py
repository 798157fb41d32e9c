"""How much of its traffic each region is given, by callers that fail over by themselves.

One file, `<home>/published/weights.json`, written by operations and read by whoever serves the
routing document. DNS knows no weights beside latency; these reach the clients that read them.

    {"version": 7, "weights": {"us-east-1": 100, "eu-west-1": 0}, "changed_at": "2026-...Z"}

`version` grows with every change, so that a reader can refuse an older one. All weights 0 means
that no region is preferred, not that none may be used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

__all__ = [
    "WEIGHT_MAX",
    "Weights",
    "WeightsError",
    "change_weights",
    "load_weights",
    "read_weights",
    "weights_path",
]

WEIGHT_MAX = 100

Weight = Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_MAX)]


class WeightsError(ValueError):
    """The weights cannot be read or used; the message is one sentence."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weights in force.

    Attributes:
        version: grows with every change, from 1; 0 before the first one.
        weights: by region, 0 to 100.
        changed_at: when, with a time zone.
    """

    version: Annotated[int, msgspec.Meta(ge=0)]
    weights: Annotated[dict[str, Weight], msgspec.Meta(min_length=1)]
    changed_at: Annotated[datetime, msgspec.Meta(tz=True)]


def weights_path(home: Path) -> Path:
    """Where the weights of a home are."""
    return home / "published" / "weights.json"


def read_weights(path: Path) -> Weights | None:
    """The weights in force; None where none were ever published: every region has 100.

    Raises:
        WeightsError: the file cannot be read, or is not what it should be.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(content, type=Weights)
    except msgspec.DecodeError as error:
        raise WeightsError(f"{path} holds no weights: {error}.") from error


def load_weights(path: Path) -> Weights:
    """The weights of a file that is there; for who follows it.

    Raises:
        WeightsError: it cannot be read, or is not what it should be.
    """
    weights = read_weights(path)
    if weights is None:
        raise WeightsError(f"{path} is not there.")
    return weights


def change_weights(
    path: Path, changes: Mapping[str, int], *, regions: Sequence[str], now: datetime
) -> Weights:
    """Change some regions' weights, one changer at a time; the file is replaced as a whole.

    Args:
        path: of the file.
        changes: new weights by region.
        regions: all there are; one that has no weight yet gets 100, one that is gone loses its own.
        now: when.

    Returns:
        What is in force now; unchanged, version included, where nothing changes.

    Raises:
        WeightsError: a region or weight that cannot be, or the file cannot be read or written.
    """
    for region, weight in changes.items():
        if region not in regions:
            raise WeightsError(f"there is no region {region!r} to give a weight to.")
        if not 0 <= weight <= WEIGHT_MAX:
            raise WeightsError(f"a weight is between 0 and {WEIGHT_MAX}, not {weight}.")
    try:
        with _alone(path):
            held = read_weights(path)
            old = {} if held is None else held.weights
            new = {region: changes.get(region, old.get(region, WEIGHT_MAX)) for region in regions}
            if held is not None and new == old:
                return held
            changed = Weights(
                version=1 if held is None else held.version + 1,
                weights=new,
                changed_at=now.astimezone(UTC),
            )
            _replace(path, msgspec.json.encode(changed) + b"\n")
    except OSError as error:
        raise WeightsError(f"{path} cannot be written: {error.strerror}.") from error
    return changed


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, content: bytes) -> None:
    """A reader sees the old weights or the new, also after a power cut."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
