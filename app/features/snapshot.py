"""The local snapshot: raw batch counters as of last midnight, memory mapped, read only.

A row holds the values of one entity's batch counters, float64 little endian, in the order of the
columns; the formulas over them are applied by whoever reads them. A snapshot is built offline,
published as a version that is ordered by its midnight, and swapped whole (`app.publish`).

A snapshot may be bounded to the entities that matter. One that was left out reads as never seen,
as the manifest says: so a model must be trained on inputs bounded in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import numpy.typing as npt

from app.features.mapped_file import MappedFile, publish_rows, row_key
from app.features.snapshot_rows import Batch, Bound, EntityRows
from app.features.spec import Entity, FeatureSet, InputState
from app.publish import PublicationError
from app.record.signing import Signer

__all__ = [
    "Snapshot",
    "SnapshotFacts",
    "load_snapshot",
    "publish_snapshot",
]

KIND = "snapshot"
PROGRESS_ROWS = 100_000
_NOT_MAPPED, _NEVER_SEEN, _PRESENT = (
    state.value for state in (InputState.NOT_MAPPED, InputState.NEVER_SEEN, InputState.PRESENT)
)

Progress = Callable[[str, int], None]


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself.

    Attributes:
        as_of_ms: the midnight that the values are of, ms since the epoch; orders the snapshots.
        built_ms: when it was built, ms since the epoch.
        schema: of the feature set.
        columns: names of a row's values by entity, in order.
        rows: entities that have a row, by kind of entity.
        left_out: entities that have none because the snapshot is bounded.
        left_out_reads_as: what they look like to a reader.
    """

    as_of_ms: int
    built_ms: int
    schema: int
    columns: dict[str, list[str]]
    rows: dict[str, int]
    left_out: dict[str, int]
    left_out_reads_as: str = InputState.NEVER_SEEN.value.decode()


class Snapshot:
    """Batch counters as of last midnight; any number of threads may read them."""

    def __init__(
        self, mapped: MappedFile, facts: SnapshotFacts, columns: Mapping[Entity, Sequence[str]]
    ) -> None:
        """Read a mapped file whose facts agree with the columns; see `load_snapshot`."""
        self._mapped = mapped
        self._spans: dict[Entity, slice] = {}
        self._width = 0
        self._prefixes_of: dict[str, list[tuple[Entity, bytes]]] = {}  # by tenant with keys
        for entity, names in columns.items():
            self._spans[entity] = slice(self._width, self._width + len(names))
            self._width += len(names)
        self.version = mapped.version
        self.facts = facts
        self.as_of_ms = facts.as_of_ms

    def age_ms(self, now_ms: float) -> float:
        """How old the values are, milliseconds."""
        return now_ms - self.as_of_ms

    def read(
        self, tenant: str, ids: Mapping[Entity, str]
    ) -> tuple[npt.NDArray[np.float64], list[bytes]]:
        """Values and states of one attempt; see `read_many`."""
        values, states = self.read_many([(tenant, ids)])
        return values[0], states[0]

    def read_many(
        self, asks: Sequence[tuple[str, Mapping[Entity, str]]]
    ) -> tuple[npt.NDArray[np.float64], list[list[bytes]]]:
        """Values of many attempts.

        Args:
            asks: tenant, and id by entity; an entity that is missing is not mapped.

        Returns:
            Values in the order of the columns asked for (NaN where not present), shape (attempts,
            sum of the columns), and the state of each entity of the columns, in their order.
        """
        values = np.full((len(asks), self._width), np.nan)
        states: list[list[bytes]] = []
        places: list[tuple[int, int]] = []
        keys: list[bytes] = []
        for row, (tenant, ids) in enumerate(asks):
            of_row: list[bytes] = []
            for at, (entity, prefix) in enumerate(self._prefixes(tenant)):
                id = ids.get(entity)
                of_row.append(_NOT_MAPPED if id is None else _NEVER_SEEN)
                if id is not None:
                    places.append((row, at))
                    keys.append(prefix + id.encode())
            states.append(of_row)
        rows: list[list[int]] = [[] for _ in self._spans]
        raws: list[list[bytes]] = [[] for _ in self._spans]
        for (row, at), raw in zip(places, self._mapped.get(keys), strict=True):
            if raw is not None:
                rows[at].append(row)
                raws[at].append(raw)
                states[row][at] = _PRESENT
        for span, present, of_entity in zip(self._spans.values(), rows, raws, strict=True):
            if present:
                known = np.frombuffer(b"".join(of_entity), dtype="<f8")
                values[present, span] = known.reshape(len(present), -1)
        return values, states

    def _prefixes(self, tenant: str) -> list[tuple[Entity, bytes]]:
        """What the keys of a tenant start with, by entity of the columns."""
        known = self._prefixes_of.get(tenant)
        if known is None:
            known = [(entity, row_key(tenant, entity, "")) for entity in self._spans]
            self._prefixes_of[tenant] = known
        return known


def load_snapshot(
    folder: Path,
    version: str,
    *,
    features: FeatureSet,
    trusted: Path | None = None,
) -> Snapshot:
    """Load a published snapshot, prewarmed.

    Args:
        folder: where snapshots are published.
        version: to load.
        features: whose schema and columns it must have.
        trusted: folder of the public keys that may sign it; None asks for no signature.

    Raises:
        PublicationError: it is damaged, of another schema or has other columns.
    """
    mapped = MappedFile(folder, version, kind=KIND, trusted=trusted)
    try:
        facts = msgspec.convert(mapped.manifest.facts, SnapshotFacts)
    except msgspec.ValidationError as error:
        raise PublicationError(f"{KIND} {version} is of another release: {error}.") from None
    if facts.schema != features.schema:
        raise PublicationError(
            f"{KIND} {version} has feature schema {facts.schema}; "
            f"this process reads {features.schema}."
        )
    columns = features.snapshot_columns
    if facts.columns != _by_name(columns):
        raise PublicationError(f"{KIND} {version} has other columns than this process reads.")
    return Snapshot(mapped, facts, columns)


def publish_snapshot(
    folder: Path,
    *,
    tenant: str,
    schema: int,
    columns: Mapping[Entity, Sequence[str]],
    batches: Iterable[Batch],
    as_of_ms: int,
    bounds: Mapping[Entity, Bound] = MappingProxyType({}),
    left_out: Mapping[Entity, int] = MappingProxyType({}),
    signer: Signer | None = None,
    progress: Progress = lambda _what, _rows: None,
    wall: Callable[[], float] = time.time,
) -> str:
    """Build and publish a snapshot.

    Args:
        folder: where snapshots are published.
        tenant: whose entities.
        schema: of the feature set.
        columns: names of a row's values by entity.
        batches: (entity, ids, values of shape (ids, columns of the entity)), in any order; an
            entity has one row.
        as_of_ms: the midnight that the values are of, ms since the epoch.
        bounds: of the entities that are bounded here.
        left_out: entities that the batches already leave out, by kind of entity.
        signer: signs the version.
        progress: told what is being done ("read", "written") and the rows so far.
        wall: seconds since the epoch, for the facts.

    Returns:
        The version's name.

    Raises:
        PublicationError: an id comes twice, or the snapshot is older than the one in force.
    """
    gathered = {entity: EntityRows(names, bounds.get(entity)) for entity, names in columns.items()}
    read = 0
    for entity, ids, values in batches:
        gathered[entity].add(ids, values)
        read += len(values)
        progress("read", read)
    for of_entity in gathered.values():
        of_entity.prune()
    facts = SnapshotFacts(
        as_of_ms=as_of_ms,
        built_ms=int(wall() * 1_000),
        schema=schema,
        columns=_by_name(columns),
        rows={str(entity): rows.count for entity, rows in gathered.items()},
        left_out={
            str(entity): rows.left_out + left_out.get(entity, 0)
            for entity, rows in gathered.items()
        },
    )
    return publish_rows(
        folder,
        kind=KIND,
        rows=_all_rows(tenant, gathered, progress),
        facts=msgspec.to_builtins(facts),
        number=as_of_ms,
        signer=signer,
    )


def _all_rows(
    tenant: str, gathered: Mapping[Entity, EntityRows], progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    prefixes = {row_key(tenant, entity, ""): rows for entity, rows in gathered.items()}
    written = 0
    for prefix, rows in sorted(prefixes.items(), key=lambda item: item[0]):
        for row in rows.ordered(prefix):
            yield row
            written += 1
            if written % PROGRESS_ROWS == 0:
                progress("written", written)
    progress("written", written)


def _by_name(columns: Mapping[Entity, Sequence[str]]) -> dict[str, list[str]]:
    return {str(entity): list(names) for entity, names in columns.items()}
