"""Where a journal's bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.record.frames import SegmentHeader

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes the bytes of one writer's segments, one segment after the other; for one thread.

    What it took is in its segment's file, or will be whatever happens to this process, and is on
    disk soon. Made with the header of the first segment, which then is begun.
    """

    @property
    def windows_ms(self) -> Sequence[float]:
        """How long the latest groups of records were not on disk yet, milliseconds."""
        ...

    def put(self, data: bytes) -> None:
        """Take bytes of the current segment, all of them or none.

        Raises:
            OSError: none were taken.
        """
        ...

    def ready(self, name: str) -> None:
        """See that a segment can be begun, and a seal be put into the current one before.

        Raises:
            OSError: it cannot.
        """
        ...

    def unready(self) -> None:
        """The segment will not be begun, after all."""
        ...

    def begin(self, header: SegmentHeader) -> None:
        """Go on in the segment that was made ready, or begin the current one once more.

        Raises:
            OSError: the current segment is the new one, and has no header yet.
        """
        ...

    def close(self) -> None:
        """Bring everything to disk.

        Raises:
            OSError: something could not be.
        """
        ...
