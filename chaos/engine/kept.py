"""Episodes kept on disk, so that a run that was cut goes on where it was."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import msgspec

from chaos.engine.measure import Episode
from chaos.engine.spec import Drill

__all__ = ["Kept", "commit"]


def commit() -> str | None:
    """The commit that runs, with `+` where files differ from it; None outside a repository."""
    folder = Path(__file__).parent
    words = ("git", "-C", str(folder), "describe", "--always", "--abbrev=12", "--dirty=+")
    try:
        done = subprocess.run(  # noqa: S603
            [*words, "--exclude=*"], capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


class Kept:
    """The episodes of one drill, of one seed, one commit and one form of the drill."""

    def __init__(self, folder: Path, drill: Drill, *, seed: int, how: str) -> None:
        """Name the file.

        Args:
            folder: of results.
            drill: as it is run.
            seed: of the run.
            how: everything else that makes another run of it: commit, region, control.
        """
        form = hashlib.sha256(msgspec.json.encode((drill, seed, how))).hexdigest()[:12]
        self._path = folder / f"{drill.name}-{form}.jsonl"

    def read(self) -> list[Episode]:
        """What is there, in order; a line that was cut is passed over."""
        if not self._path.exists():
            return []
        found: list[Episode] = []
        for line in self._path.read_bytes().splitlines():
            try:
                found.append(msgspec.json.decode(line, type=Episode))
            except msgspec.MsgspecError:
                continue
        return found

    def clear(self) -> None:
        """Begin anew."""
        self._path.unlink(missing_ok=True)

    def add(self, episode: Episode) -> None:
        """Keep one more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(episode) + b"\n")
