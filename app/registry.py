"""Where a home folder keeps what is made once and adopted by every region."""

from __future__ import annotations

from pathlib import Path

from app.publish import CURRENT

__all__ = ["DEMO_TENANT", "KINDS", "Registry"]

DEMO_TENANT = "demo"
KINDS = ("model", "snapshot", "merchants")


class Registry:
    """The places, and whether everything is there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "registry"
        self.data = home / "data"
        self.samples = self.folder / "samples.json"
        self.hot_merchants = self.folder / "hot_merchants.txt"
        self.dev_key = home / "dev-key"
        self.publisher_key = home / "secrets" / "publisher-key"
        self.trusted_keys = home / "trusted-keys"

    @property
    def complete(self) -> bool:
        """Whether everything that a region adopts is there."""
        made = [self.folder / kind / CURRENT for kind in KINDS]
        return all(path.exists() for path in (*made, self.samples, self.hot_merchants))
