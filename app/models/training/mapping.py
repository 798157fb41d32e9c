"""The mapping file: which columns of somebody's own data are which fields of a payment attempt.

Keys are the wire's fields, groups and names joined by dots, and the few below that the wire does
not have. The wire's own structures say which fields there are, so the two cannot part.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.api.wire import Attempt, Currency, ExtraName
from app.documents import DocumentError, read_document
from app.models.training.history import ID_COLUMNS, HistoryError

__all__ = [
    "WIRE_FIELDS",
    "AmountColumn",
    "CurrencyColumn",
    "LabelColumn",
    "Mapping",
    "MerchantTable",
    "TimeColumn",
    "column_of",
    "load_mapping",
    "nearest",
]

ColumnName = Annotated[str, Meta(min_length=1)]


def _leaves(structure: type[Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field below a structure that is not one itself, with its type as written."""
    for field in msgspec.structs.fields(structure):
        name = f"{prefix}{field.encode_name}"
        kind = msgspec.inspect.type_info(field.type)
        kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
        part = next((kind for kind in kinds if isinstance(kind, msgspec.inspect.StructType)), None)
        if part is None:
            yield name, field.type
        else:
            yield from _leaves(part.cls, f"{name}.")


# By dotted name; amount and attributes are mapped in ways of their own.
WIRE_FIELDS: dict[str, Any] = {
    name: kind
    for name, kind in _leaves(Attempt)
    if name not in {"amount.value", "amount.currency", "attributes"}
}


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a mapping file holds: unknown keys are refused by name."""


class TimeColumn(_Part, frozen=True):
    """When attempts were received. `unit` is that of a number since the epoch."""

    column: ColumnName
    unit: Literal["s", "ms"] | None = None


class CurrencyColumn(_Part, frozen=True):
    """Where each attempt has a currency of its own."""

    column: ColumnName


class AmountColumn(_Part, frozen=True):
    """Amounts, in whole currency (`major`) or in its smallest units (`minor`)."""

    column: ColumnName
    currency: Currency | CurrencyColumn
    unit: Literal["major", "minor"]


class LabelColumn(_Part, frozen=True):
    """Which attempts were fraud, and how long after the attempt that was learnt."""

    column: ColumnName
    delay_days: Annotated[float, Meta(ge=0, le=3_650)]


class MerchantTable(_Part, frozen=True):
    """The merchant directory: a file beside the mapping file, and its columns."""

    file: ColumnName
    id: ColumnName
    tier: ColumnName
    category: ColumnName
    country: ColumnName


class _MappingFile(_Part, frozen=True):
    """What a mapping file holds besides the wire's fields."""

    time: ColumnName | TimeColumn
    amount: AmountColumn
    label: LabelColumn | None = None
    attributes: Annotated[dict[ExtraName, ColumnName], Meta(max_length=64)] = {}
    merchants: MerchantTable | None = None
    ignore: list[ColumnName] = []
    provenance: Literal["production", "simulated"] = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Which columns are what. What is not mapped is dropped, never made up.

    Attributes:
        time: receipt of the attempt.
        amount: of the attempt.
        fields: column by field of the wire.
        attributes: column by name of a declared extra.
        label: None where the data have no labels.
        merchants: None where there is no directory.
        folder: of the mapping file, where the directory's file is looked for.
        provenance: "production" or "simulated".
    """

    time: TimeColumn
    amount: AmountColumn
    fields: dict[str, str]
    attributes: dict[str, str]
    label: LabelColumn | None
    merchants: MerchantTable | None
    folder: Path
    provenance: str

    def uses(self) -> Iterator[tuple[str, str]]:
        """Every field with its column."""
        yield "time", self.time.column
        yield "amount", self.amount.column
        if isinstance(self.amount.currency, CurrencyColumn):
            yield "amount.currency", self.amount.currency.column
        if self.label is not None:
            yield "label", self.label.column
        yield from self.fields.items()
        yield from ((f"attributes.{name}", column) for name, column in self.attributes.items())


def load_mapping(path: Path) -> Mapping:
    """Load a mapping file.

    Raises:
        HistoryError: it cannot be read, has a field that there is not, lacks the time, the amount
            or every entity, or uses a column twice.
    """
    try:
        document = read_document(path, dict[str, Any])
    except DocumentError as error:
        raise HistoryError(f"{error}.") from None
    keys = _MappingFile.__struct_fields__
    for name in document:
        if name not in WIRE_FIELDS and name not in keys:
            close = nearest(name, [*WIRE_FIELDS, *keys])
            raise HistoryError(f"{path}: a mapping has no field {name!r}; the nearest are {close}.")
    for name in ("time", "amount"):
        if name not in document:
            raise HistoryError(f"{path}: a mapping must say which column is the {name}.")
    own = {key: value for key, value in document.items() if key in keys}
    wire = {name: value for name, value in document.items() if name in WIRE_FIELDS}
    try:
        rest = msgspec.convert(own, _MappingFile)
        fields = msgspec.convert(wire, dict[str, ColumnName])
    except msgspec.ValidationError as error:
        raise HistoryError(f"{path}: {error}.") from None
    mapping = Mapping(
        time=TimeColumn(column=rest.time) if isinstance(rest.time, str) else rest.time,
        amount=rest.amount,
        fields=fields,
        attributes=rest.attributes,
        label=rest.label,
        merchants=rest.merchants,
        folder=path.parent,
        provenance=rest.provenance,
    )
    _check(path, mapping, ignored=rest.ignore)
    return mapping


def column_of(field: str) -> str:
    """The name that a field of the wire has as a column of a history."""
    return field.replace(".", "__")


def nearest(name: str, names: Iterable[str]) -> str:
    """The three names most like one, as a list in a sentence."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.0)
    return ", ".join(by_lower[lower] for lower in close)


def _check(path: Path, mapping: Mapping, *, ignored: list[str]) -> None:
    entities = {column.replace("__", ".", 1) for column in ID_COLUMNS.values()}
    if not entities & set(mapping.fields):
        raise HistoryError(
            f"{path}: a mapping must name at least one entity: {', '.join(sorted(entities))}."
        )
    uses = list(mapping.uses())
    column, count = Counter(column for _, column in uses).most_common(1)[0]
    if count > 1:
        twice = " and ".join(field for field, used in uses if used == column)
        raise HistoryError(f"{path}: the column {column!r} is mapped to {twice}; it can be one.")
    for field, column in uses:
        if column in ignored:
            raise HistoryError(f"{path}: the column {column!r} is mapped to {field} and ignored.")
