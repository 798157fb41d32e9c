"""How far the shipper has published, on disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from app.record.group_sync import sync_folder
from app.streams.interface import Position

__all__ = ["Checkpoint", "Place", "load_checkpoint", "save_checkpoint"]

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last published event of one writer.

    Attributes:
        epoch: of the event.
        seq: of the event.
        end: offset behind it in its segment, bytes; 0 where that is not known.
    """

    epoch: int
    seq: int
    end: int = 0

    @property
    def position(self) -> Position:
        """Position of the event."""
        return self.epoch, self.seq


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shipper goes on.

    Attributes:
        published: the last event of each writer, by "region/writer".
    """

    published: dict[str, Place] = {}

    @property
    def positions(self) -> dict[str, Position]:
        """Positions of the last events."""
        return {name: place.position for name, place in self.published.items()}


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; without one, or with one that cannot be read, everything begins anew.

    Beginning anew is safe: the stream and its readers drop what they know.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return Checkpoint()
    except msgspec.MsgspecError:
        log.exception("%s cannot be read; everything is published again", path)
        return Checkpoint()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint as a whole, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(checkpoint))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)
