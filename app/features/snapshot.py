"""The local snapshot: batch features and the merchant directory, memory mapped, read only.

Both are LMDB files built offline, published as versions (`app.publish`), and shared by the
processes of a host through the page cache. A look-up does no I/O that can fail: the file is
checked and read through (prewarmed) before it is put to use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import lmdb
import msgspec
import numpy as np
import numpy.typing as npt

from app.features.spec import BATCH, BATCH_ENTITIES, FEATURE_SCHEMA, Entity, InputState
from app.publish import PublicationError, publish, verified

__all__ = [
    "Directory",
    "MerchantEntry",
    "Snapshot",
    "load_directory",
    "load_snapshot",
    "publish_directory",
    "publish_snapshot",
]

DATA = "data.mdb"
MAP_BYTES_MAX = 64 * 2**30  # address space, not memory

_COLUMNS: Mapping[Entity, tuple[int, ...]] = {
    entity: tuple(at for at, feature in enumerate(BATCH) if feature.entity is entity)
    for entity in BATCH_ENTITIES
}


class MerchantEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the directory knows of a merchant; the caller's word on it is never asked."""

    tier: str
    category: str
    country: str


class _Mapped:
    """A published LMDB file."""

    def __init__(self, folder: Path, version: str, *, kind: str) -> None:
        manifest = verified(folder, version, kind=kind)
        self.version = version
        self.facts = manifest.facts
        path = folder / "versions" / version
        try:
            self._env = lmdb.open(
                str(path / DATA),
                subdir=False,
                readonly=True,
                lock=False,
                readahead=False,
                max_spare_txns=0,
            )
            # One read transaction for the life of the version: nothing is ever written to it.
            self._txn = self._env.begin(buffers=False)
        except lmdb.Error as error:
            raise PublicationError(f"{kind} {version} cannot be mapped: {error}.") from None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        value: bytes | None = self._txn.get(key)
        return value


class Snapshot:
    """Batch features as of last midnight."""

    def __init__(self, mapped: _Mapped) -> None:
        self._mapped = mapped
        self.version = mapped.version
        self.as_of_ms = int(mapped.facts["as_of_ms"])

    def read(
        self, tenant: str, ids: Mapping[Entity, str]
    ) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        """Batch values of one attempt.

        Args:
            tenant: whose entities.
            ids: id by entity; an entity that is missing is not mapped.

        Returns:
            Values in the order of `spec.BATCH` (NaN where not present), shape (len(BATCH),), and
            the state of each of `spec.BATCH_ENTITIES`.
        """
        values = np.full(len(BATCH), np.nan, dtype=np.float32)
        states = []
        for entity in BATCH_ENTITIES:
            id = ids.get(entity)
            if id is None:
                states.append(InputState.NOT_MAPPED.value)
                continue
            raw = self._mapped.get(_key(tenant, entity, id))
            if raw is None:
                states.append(InputState.NEVER_SEEN.value)
                continue
            values[list(_COLUMNS[entity])] = np.frombuffer(raw, dtype="<f4")
            states.append(InputState.PRESENT.value)
        return values, states


class Directory:
    """The merchant directory."""

    def __init__(self, mapped: _Mapped) -> None:
        self._mapped = mapped
        self.version = mapped.version
        self._decoder = msgspec.msgpack.Decoder(MerchantEntry)

    def get(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        """A merchant's entry; None for one that is not listed."""
        raw = self._mapped.get(_key(tenant, Entity.MERCHANT, merchant_id))
        return None if raw is None else self._decoder.decode(raw)


def load_snapshot(folder: Path, version: str) -> Snapshot:
    """Load a published snapshot, prewarmed.

    Raises:
        PublicationError: it is damaged, or of another feature schema.
    """
    mapped = _Mapped(folder, version, kind="snapshot")
    if mapped.facts.get("feature_schema") != FEATURE_SCHEMA:
        raise PublicationError(
            f"snapshot {version} has feature schema {mapped.facts.get('feature_schema')}, "
            f"this release reads {FEATURE_SCHEMA}."
        )
    return Snapshot(mapped)


def load_directory(folder: Path, version: str) -> Directory:
    """Load a published merchant directory, prewarmed.

    Raises:
        PublicationError: it is damaged.
    """
    return Directory(_Mapped(folder, version, kind="merchants"))


def publish_snapshot(
    folder: Path,
    *,
    tenant: str,
    rows: Mapping[Entity, Iterable[tuple[str, npt.NDArray[np.float32]]]],
    as_of_ms: int,
) -> str:
    """Build and publish a snapshot.

    Args:
        folder: where snapshots are published.
        tenant: whose entities.
        rows: (id, values in the order of `spec.BATCH` for that entity) by entity.
        as_of_ms: the midnight that the values are of, ms since the epoch.
    """
    entries = (
        (_key(tenant, entity, id), values.astype("<f4").tobytes())
        for entity, of_entity in rows.items()
        for id, values in of_entity
    )
    facts = {"as_of_ms": as_of_ms, "feature_schema": FEATURE_SCHEMA}
    return _publish_lmdb(folder, kind="snapshot", entries=entries, facts=facts)


def publish_directory(
    folder: Path, *, tenant: str, merchants: Iterable[tuple[str, MerchantEntry]]
) -> str:
    """Build and publish a merchant directory."""
    encoder = msgspec.msgpack.Encoder()
    entries = (
        (_key(tenant, Entity.MERCHANT, id), encoder.encode(entry)) for id, entry in merchants
    )
    return _publish_lmdb(folder, kind="merchants", entries=entries, facts={})


def _publish_lmdb(
    folder: Path,
    *,
    kind: str,
    entries: Iterable[tuple[bytes, bytes]],
    facts: Mapping[str, str | int | float | bool],
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / DATA
        env = lmdb.open(str(path), subdir=False, map_size=MAP_BYTES_MAX, sync=False, lock=False)
        count = 0
        with env.begin(write=True) as txn:
            for key, value in sorted(entries):
                txn.put(key, value, append=True)
                count += 1
        env.sync(True)
        env.close()
        compact = Path(scratch) / "compact.mdb"
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as source:
            _copy(source, compact)
        return publish(folder, kind=kind, files={DATA: compact}, facts={**facts, "rows": count})


def _copy(source: lmdb.Environment, target: Path) -> None:
    with target.open("wb") as file:
        source.copyfd(file.fileno(), compact=True)


def _key(tenant: str, entity: Entity, id: str) -> bytes:
    return f"{tenant}:{entity}:{id}".encode()
