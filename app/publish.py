"""Published things: models, snapshots, the merchant directory. Built offline, swapped whole.

    <folder>/versions/<version>/…files…, manifest.json (SHA-256 of each file), manifest.sig
    <folder>/current                                    (the version in force)

A version is immutable and named by its content. `current` is replaced by a rename, so a reader
sees the old or the new, never a half. Readers hold what they loaded:

* a version that is wrong (a file missing, changed, of another schema, not signed by a trusted
  key where that is asked for) is refused, the last good one goes on serving, and the reason is
  shown;
* a version with a lower number than the one in force is refused: nothing goes back by accident.
  `roll_back` goes back on purpose, and says so in `current`;
* no `current` at all is an order, not an accident: the thing is withdrawn and no longer used.
  Deleting one small file is how a harmful model or snapshot is taken out everywhere at once.

A process that holds nothing, since it has just started or the thing was withdrawn, takes what is
in force, whatever its number: the order is between what a process holds and what it is offered.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from app.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    PublicationError,
    encode,
    name_of,
    read_manifest,
    sha256,
    sign,
    verified,
)
from app.record.signing import Signer

__all__ = [
    "Manifest",
    "PublicationError",
    "Published",
    "adopt",
    "current",
    "prune",
    "publish",
    "roll_back",
    "verified",
    "withdraw",
]

T = TypeVar("T")

CURRENT = "current"
ROLLBACK = "rollback"
KEPT = 5


@dataclass(frozen=True, slots=True)
class _Order:
    """What `current` says."""

    version: str
    rollback: bool


def publish(
    folder: Path,
    *,
    kind: str,
    files: Mapping[str, Path | bytes],
    facts: Mapping[str, object],
    number: int = 0,
    signer: Signer | None = None,
) -> str:
    """Write a version and put it in force.

    Args:
        folder: where this kind is published.
        kind: what it is.
        files: content by file name; a path is moved, bytes are written.
        facts: small facts that belong to the version.
        number: orders the versions of the kind.
        signer: signs the manifest, and with it every file.

    Returns:
        The version's name.

    Raises:
        PublicationError: it is older than what is in force; it is there, for `roll_back`.
    """
    staging = folder / "versions" / f".staging-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (staging / name).write_bytes(content)
        else:
            shutil.move(content, staging / name)
    manifest = Manifest(
        kind=kind,
        files={name: sha256(staging / name) for name in sorted(files)},
        facts=dict(facts),
        number=number,
    )
    document = encode(manifest)
    (staging / MANIFEST).write_bytes(document)
    if signer is not None:
        (staging / SIGNATURE).write_bytes(sign(document, signer))
    version = name_of(document)
    _store(folder, version, staging, kind=kind)
    _put_in_force(folder, version)
    return version


def current(folder: Path) -> str:
    """The version in force.

    Raises:
        PublicationError: there is none, or it cannot be read.
    """
    try:
        return _read_order(folder).version
    except FileNotFoundError:
        raise PublicationError(f"nothing is published in {folder}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PublicationError(f"{folder / CURRENT} cannot be read: {error}.") from None


def adopt(source: Path, target: Path, version: str | None = None) -> str:
    """Put what is in force in one folder in force in another, as a copy of its own.

    A rollback in the source is one in the target.

    Args:
        source: where it is published.
        target: where it shall be.
        version: another one than is in force in the source; it may be an older one.

    Raises:
        PublicationError: nothing is in force in the source, or it is older than what is in force
            in the target; there is no such version.
    """
    rollback = True
    if version is None:
        version = current(source)
        rollback = _read_order(source).rollback
    else:
        read_manifest(source, version)
    if not (target / "versions" / version).exists():
        staging = target / "versions" / f".staging-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(source / "versions" / version, staging)
        staging.rename(target / "versions" / version)
    _put_in_force(target, version, rollback=rollback)
    return version


def roll_back(folder: Path, version: str) -> None:
    """Put a version that is there in force, although a later one is.

    Raises:
        PublicationError: it is not there.
    """
    read_manifest(folder, version)
    _put_in_force(folder, version, rollback=True)


def prune(folder: Path, *, keep: int = KEPT) -> list[str]:
    """Remove old versions; what processes have mapped of them stays with them.

    Not for models: decisions are replayed with the version that made them.

    Args:
        folder: where the kind is published.
        keep: versions to keep, the latest ones; the one in force stays in any case.

    Returns:
        The versions that are gone.
    """
    held = current(folder)
    versions = sorted(
        (folder / "versions").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime
    )
    gone = [path for path in versions[: -keep or None] if path.name != held]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in gone]


def withdraw(folder: Path) -> None:
    """Take what is published out of use."""
    (folder / CURRENT).unlink(missing_ok=True)


class Published(Generic[T]):
    """What a process holds of one published kind: the last good version, or nothing.

    `refresh` does the disk work and may run in a thread; `value` is read by the decision path.
    """

    def __init__(self, folder: Path, load: Callable[[Path, str], T]) -> None:
        """Watch a folder.

        Args:
            folder: where the kind is published.
            load: makes the thing from (folder, version); raises PublicationError to refuse.
        """
        self.value: T | None = None
        self.version: str | None = None
        self.refused: str | None = None
        self._folder = folder
        self._load = load
        self._number = 0
        self._seen: tuple[int, int, _Order] | None = None

    def refresh(self) -> bool:
        """Look at `current` and follow it. Returns whether anything changed."""
        pointer = self._folder / CURRENT
        try:
            status = pointer.stat()
            order = _read_order(self._folder)
        except FileNotFoundError:
            changed = self._seen is not None
            self.value = self.version = self.refused = self._seen = None
            return changed
        except (OSError, UnicodeDecodeError) as error:
            self.refused = f"{pointer} cannot be read: {error}."
            return False
        seen = (status.st_mtime_ns, status.st_ino, order)
        if seen == self._seen:
            return False
        self._seen = seen
        if order.version == self.version:
            self.refused = None
            return True
        try:
            manifest, _ = read_manifest(self._folder, order.version)
            if self.version is not None and not order.rollback:
                _check_order(manifest, order.version, self._number, self.version)
            value = self._load(self._folder, order.version)
        except PublicationError as error:
            self.refused = str(error)
            return True
        self.value, self.version, self.refused = value, order.version, None
        self._number = manifest.number
        return True


def _store(folder: Path, version: str, staging: Path, *, kind: str) -> None:
    for path in (*staging.iterdir(), staging):
        _fsync(path)
    target = folder / "versions" / version
    try:
        verified(folder, version, kind=kind)
    except PublicationError:  # not there yet, or damaged since: readers keep the files they hold
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    else:
        if (staging / SIGNATURE).exists():
            (staging / SIGNATURE).replace(target / SIGNATURE)
        shutil.rmtree(staging)
    _fsync(target.parent)


def _put_in_force(folder: Path, version: str, *, rollback: bool = False) -> None:
    if not rollback:
        try:
            held = current(folder)
            number = read_manifest(folder, held)[0].number
        except PublicationError:  # nothing is in force that could be newer
            pass
        else:
            _check_order(read_manifest(folder, version)[0], version, number, held)
    fresh = folder / f".{CURRENT}-{os.getpid()}"
    fresh.write_text(f"{version} {ROLLBACK}\n" if rollback else f"{version}\n", encoding="ascii")
    _fsync(fresh)
    fresh.replace(folder / CURRENT)
    _fsync(folder)


def _read_order(folder: Path) -> _Order:
    version, _, mark = (folder / CURRENT).read_text(encoding="ascii").strip().partition(" ")
    return _Order(version, mark == ROLLBACK)


def _check_order(manifest: Manifest, version: str, held_number: int, held: str) -> None:
    if manifest.number < held_number:
        raise PublicationError(
            f"{manifest.kind} {version} (number {manifest.number}) is older than {held} (number "
            f"{held_number}), which is in force; going back takes a rollback."
        )


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
