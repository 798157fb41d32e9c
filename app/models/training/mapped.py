"""Somebody's own data as a history, by a mapping file; the same as a simulated one from there on.

Nothing is made up: a field that is not mapped is a column of nulls, so an entity without a mapping
is "not mapped" to the models, and no default stands in its place.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.api.wire import Country
from app.features.directory import MerchantEntry
from app.features.rings import Int64s
from app.features.spec import DAY_MS
from app.models.training.history import NEVER_MS, History, HistoryError, load_history
from app.models.training.mapped_amounts import read_amounts
from app.models.training.mapped_columns import (
    INSTANT,
    arrow_type,
    extras,
    flags,
    instants,
    plain,
    refuse_nulls,
    refuse_rows,
    texts,
    wire_values,
)
from app.models.training.mapped_files import read_columns
from app.models.training.mapping import (
    WIRE_FIELDS,
    LabelColumn,
    Mapping,
    MerchantTable,
    TimeColumn,
    column_of,
    load_mapping,
)
from app.models.training.wire_ids import wire_ids
from app.money import DEFAULT_RATES

__all__ = ["load_mapped", "read_history"]

# 1970 to 2100: outside, a number of seconds was taken for milliseconds, or the other way round.
_TIME_MS_MAX = 4_102_444_800_000


def read_history(data: Path, mapping: Path | None = None) -> History:
    """Load a history: a simulated one, or with a mapping file any data.

    Raises:
        HistoryError: the data or the mapping cannot be used.
    """
    return load_history(data) if mapping is None else load_mapped(data, load_mapping(mapping))


def load_mapped(data: Path, mapping: Mapping, *, rates: Path = DEFAULT_RATES) -> History:
    """Load somebody's own data.

    Args:
        data: a Parquet or CSV file, or a folder of them, in order of time.
        mapping: which columns are what.
        rates: the rate table.

    Raises:
        HistoryError: a file or column is not there or cannot be what it is mapped to, the order is
            not that of time, or the labels are of one kind only.
        DocumentError: the rate table cannot be used.
    """
    table = read_columns(data, [column for _, column in mapping.uses()])
    received = _received(plain(table[mapping.time.column]), mapping.time)
    value, currency, amount_ref = read_amounts(table, mapping.amount, rates)
    fraud = _fraud(table, mapping.label)
    delay_ms = 0 if mapping.label is None else round(mapping.label.delay_days * DAY_MS)
    columns = {
        **_fields(table, mapping),
        "received_at": pa.array(received).cast(INSTANT),
        "amount__value": pa.array(value),
        "amount__currency": currency,
        "amount_ref": pa.array(amount_ref),
        "fraud": pa.array(fraud),
    }
    merchants = columns["merchant__id"]
    return History(
        attempts=pa.table(columns),
        received_ms=received,
        amount_ref=amount_ref,
        fraud=fraud,
        labelled_ms=np.where(fraud, received + delay_ms, NEVER_MS),
        merchants={}
        if mapping.merchants is None
        else _merchants(mapping.folder / mapping.merchants.file, mapping.merchants, merchants),
        provenance=mapping.provenance,
    )


def _received(values: pa.Array, time: TimeColumn) -> Int64s:
    """Receipt, ms since the epoch, shape (attempts,)."""
    instant = instants(values, time.column, unit=time.unit)
    refuse_nulls(instant, time.column, "has no time")
    received: Int64s = instant.cast(pa.int64()).to_numpy()
    outside = (received < 0) | (received > _TIME_MS_MAX)
    refuse_rows(outside, time.column, "lies outside the years 1970 to 2100; check its unit")
    # Sorting them here would hide that two files overlap or that the column is another time.
    back = np.concatenate([[False], np.diff(received) < 0])
    what = f"is earlier than the row before it, as {back.sum()} rows are; sort the data by time"
    refuse_rows(back, time.column, what)
    return received


def _fraud(table: pa.Table, label: LabelColumn | None) -> npt.NDArray[np.bool_]:
    """Which attempts were fraud; one without a label is one that nobody has reported."""
    if label is None:
        return np.zeros(len(table), dtype=bool)
    known = flags(plain(table[label.column]), label.column)
    fraud: npt.NDArray[np.bool_] = known.fill_null(False).to_numpy(zero_copy_only=False)
    if not fraud.any():
        raise HistoryError(f"the label column {label.column!r} names no fraud.")
    if fraud.all():
        raise HistoryError(f"the label column {label.column!r} names nothing but fraud.")
    return fraud


def _fields(table: pa.Table, mapping: Mapping) -> dict[str, pa.Array]:
    """All fields of the wire but the amount as columns, of nulls where not mapped; and extras."""
    columns: dict[str, pa.Array] = {}
    nulls: dict[pa.DataType, pa.Array] = {}  # one of each type, shared by all such columns
    for field in WIRE_FIELDS:
        if field in mapping.fields:
            column = mapping.fields[field]
            values = wire_values(plain(table[column]), field=field, column=column)
        elif field == "attempt_id":
            row = pa.array(np.arange(len(table))).cast(pa.string())
            values = wire_ids(row, field=field, column="row number")
        else:
            kind = arrow_type(field)
            if kind not in nulls:
                nulls[kind] = pa.nulls(len(table), kind)
            values = nulls[kind]
        columns[column_of(field)] = values
    _check_attempt_ids(columns["attempt_id"], mapping)
    for name, column in mapping.attributes.items():
        columns[f"attributes__{name}"] = extras(plain(table[column]), name=name, column=column)
    return columns


def _check_attempt_ids(ids: pa.StringArray, mapping: Mapping) -> None:
    column = mapping.fields.get("attempt_id", "")
    refuse_nulls(ids, column, "has no attempt_id")
    encoded = ids.dictionary_encode()
    if len(encoded.dictionary) < len(ids):
        rows_of = np.bincount(encoded.indices.to_numpy())
        twice = encoded.dictionary[int(np.argmax(rows_of))]
        raise HistoryError(f"the column {column!r} names more than one attempt {twice}.")


def _merchants(
    path: Path, merchants: MerchantTable, seen: pa.StringArray
) -> dict[str, MerchantEntry]:
    """The directory by id, the ids as those of the attempts."""
    names = [merchants.id, merchants.tier, merchants.category, merchants.country]
    table = read_columns(path, list(dict.fromkeys(names)))
    columns = [texts(plain(table[name]), name) for name in names]
    for name, values in zip(names, columns, strict=True):
        refuse_nulls(values, name, f"is empty in {path}")
    columns[0] = wire_ids(columns[0], field="merchant.id", column=merchants.id)
    directory = {}
    for id, tier, category, country in zip(*(c.to_pylist() for c in columns), strict=True):
        if id in directory:
            raise HistoryError(f"{path} names the merchant {id} more than once.")
        try:
            msgspec.convert(country, Country)
        except msgspec.ValidationError:
            raise HistoryError(
                f"{path}: {country!r} is not a country of two capital letters (ISO 3166-1)."
            ) from None
        directory[id] = MerchantEntry(tier=tier, category=category, country=country)
    if not pc.any(pc.is_in(seen, value_set=columns[0])).as_py():
        raise HistoryError(f"{path} names none of the attempts' merchants.")
    return directory
