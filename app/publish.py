"""Published things: models, snapshots, the merchant directory. Built offline, swapped whole.

    <folder>/versions/<version>/…files…, manifest.json (SHA-256 of each file)
    <folder>/current                                    (the version in force)

A version is immutable and named by its content. `current` is replaced by a rename, so a reader
sees the old or the new, never a half. Readers hold what they loaded:

* a version that is wrong (a file missing, changed, of another schema) is refused, the last good
  one goes on serving, and the reason is shown;
* no `current` at all is an order, not an accident: the thing is withdrawn and no longer used.
  Deleting one small file is how a harmful model or snapshot is taken out everywhere at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from app.errors import OperatorError

__all__ = [
    "Manifest",
    "PublicationError",
    "Published",
    "adopt",
    "current",
    "publish",
    "verified",
    "withdraw",
]

T = TypeVar("T")

CURRENT = "current"
MANIFEST = "manifest.json"


class PublicationError(OperatorError):
    """A published version cannot be used. One sentence that says why."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version consists of.

    Attributes:
        kind: what is published ("model", "snapshot", "merchants").
        files: SHA-256 of each file by name, hexadecimal.
        facts: what the publisher says of it; part of the version's identity.
    """

    kind: str
    files: dict[str, str]
    facts: dict[str, str | int | float | bool]


def publish(
    folder: Path,
    *,
    kind: str,
    files: Mapping[str, Path | bytes],
    facts: Mapping[str, str | int | float | bool],
) -> str:
    """Write a version and put it in force.

    Args:
        folder: where this kind is published.
        kind: what it is.
        files: content by file name; a path is moved, bytes are written.
        facts: small facts that belong to the version.

    Returns:
        The version's name.
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
        files={name: _sha256(staging / name) for name in sorted(files)},
        facts=dict(facts),
    )
    document = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"))
    (staging / MANIFEST).write_bytes(document)
    version = _name(document)
    for path in (*staging.iterdir(), staging):
        _fsync(path)
    try:
        verified(folder, version, kind=kind)
    except PublicationError:  # not there yet, or damaged since: readers keep the files they hold
        target = folder / "versions" / version
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        _fsync(target.parent)
    else:
        shutil.rmtree(staging)
    _point(folder, version)
    return version


def current(folder: Path) -> str:
    """The version in force.

    Raises:
        PublicationError: there is none.
    """
    try:
        return (folder / CURRENT).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise PublicationError(f"nothing is published in {folder}.") from None


def adopt(source: Path, target: Path) -> str:
    """Put what is in force in one folder in force in another, as a copy of its own.

    Raises:
        PublicationError: nothing is in force in the source.
    """
    version = current(source)
    if not (target / "versions" / version).exists():
        staging = target / "versions" / f".staging-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(source / "versions" / version, staging)
        staging.rename(target / "versions" / version)
    _point(target, version)
    return version


def withdraw(folder: Path) -> None:
    """Take what is published out of use."""
    (folder / CURRENT).unlink(missing_ok=True)


def verified(folder: Path, version: str, *, kind: str) -> Manifest:
    """Check every file of a version against its manifest.

    Raises:
        PublicationError: something is missing, changed or of another kind.
    """
    where = folder / "versions" / version
    try:
        document = (where / MANIFEST).read_bytes()
        if _name(document) != version:
            raise PublicationError(f"{kind} {version}: {MANIFEST} is not what was published.")
        manifest = msgspec.json.decode(document, type=Manifest)
        for name, expected in manifest.files.items():
            if _sha256(where / name) != expected:
                raise PublicationError(f"{kind} {version}: {name} is not what was published.")
    except (OSError, msgspec.MsgspecError) as error:
        raise PublicationError(f"{kind} {version} cannot be read: {error}.") from None
    if manifest.kind != kind:
        raise PublicationError(f"{version} is a {manifest.kind}, not a {kind}.")
    return manifest


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
        self._seen: tuple[int, int] | None = None

    def refresh(self) -> bool:
        """Look at `current` and follow it. Returns whether anything changed."""
        pointer = self._folder / CURRENT
        try:
            status = pointer.stat()
            version = pointer.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            changed = self._seen is not None
            self.value = self.version = self.refused = self._seen = None
            return changed
        except (OSError, UnicodeDecodeError) as error:
            self.refused = f"{pointer} cannot be read: {error}."
            return False
        seen = (status.st_mtime_ns, status.st_ino)
        if seen == self._seen:
            return False
        self._seen = seen
        if version == self.version:
            self.refused = None
            return True
        try:
            value = self._load(self._folder, version)
        except PublicationError as error:
            self.refused = str(error)
            return True
        self.value, self.version, self.refused = value, version, None
        return True


def _point(folder: Path, version: str) -> None:
    fresh = folder / f".{CURRENT}-{os.getpid()}"
    fresh.write_text(version + "\n", encoding="ascii")
    _fsync(fresh)
    fresh.replace(folder / CURRENT)
    _fsync(folder)


def _name(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()[:12]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
