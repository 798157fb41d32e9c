"""The folder of a local world: what lies where, and how it is written."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Home", "write_private"]

# A Unix socket's path is limited to 108 bytes with its closing zero (unix(7)).
_SOCKET_PATH_BYTES_MAX = 107


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the home folder; `root` is absolute."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by whoever starts or supervises this home; its text is the holder's pid."""
        return self.root / "supervisor.lock"

    @property
    def plan(self) -> Path:
        """What the supervisor runs."""
        return self.root / "world.json"

    @property
    def state(self) -> Path:
        """Which processes run, for whoever cleans up behind a killed supervisor."""
        return self.root / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's own log."""
        return self.root / "supervisor.log"

    @property
    def datastore_password(self) -> Path:
        """The password of the embedded datastores."""
        return self.root / "secrets" / "datastore"

    @property
    def socket(self) -> Path:
        """Where the control socket is: at home, or where the pointer file says."""
        try:
            return Path(self._socket_pointer.read_text("utf-8").strip())
        except FileNotFoundError:
            return self.root / "supervisor.sock"

    @property
    def _socket_pointer(self) -> Path:
        return self.root / "supervisor.sock.path"

    def region(self, name: str) -> Path:
        """The folder of one region's state."""
        return self.root / name

    def log(self, region: str, part: str) -> Path:
        """The log of one process."""
        return self.root / region / "logs" / f"{part}.log"

    def place_socket(self) -> Path:
        """A free path for the control socket, short enough to bind."""
        self.remove_socket()
        path = self.root / "supervisor.sock"
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
            path = Path(tempfile.mkdtemp(prefix="stepdown-")) / "supervisor.sock"
            write_private(self._socket_pointer, f"{path}\n".encode())
        return path

    def remove_socket(self) -> None:
        """Remove the control socket, and the folder made for it if there is one."""
        path = self.socket
        if path.parent != self.root:
            shutil.rmtree(path.parent, ignore_errors=True)
            self._socket_pointer.unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def ensure_datastore_password(self) -> Path:
        """Make the datastores' password once; it is kept over restarts."""
        path = self.datastore_password
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        return path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp gives mode 0600, so the content is never readable by others, not even for a moment.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
