"""What a load needs to know of what it is sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["Reached"]


class Reached(Protocol):
    """What a load is sent to: our own regions, or a fleet of others."""

    @property
    def home(self) -> Path:
        """Folder of state, for what the load keeps."""
        ...

    @property
    def region(self) -> str:
        """The region that is looked at."""
        ...

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that there are callers in."""
        ...

    @property
    def key(self) -> str:
        """API key."""
        ...

    @property
    def trusted_keys(self) -> Path:
        """Folder of the public keys that sign routing documents."""
        ...

    def endpoints(self, caller: str) -> dict[str, str]:
        """Where a caller in a region reaches each region, its own first."""
        ...

    def api(self, region: str) -> str:
        """Where a region's API is."""
        ...
