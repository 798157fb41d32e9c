"""Columns of any type as the wire has them, checked by the wire's own rules."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.api.pan import redact
from app.api.wire import Extra, Instant
from app.models.training.history import HistoryError
from app.models.training.mapping import WIRE_FIELDS
from app.models.training.wire_ids import ID_PREFIXES, wire_ids

__all__ = [
    "INSTANT",
    "arrow_type",
    "extras",
    "flags",
    "instants",
    "numbers",
    "plain",
    "refuse_nulls",
    "refuse_rows",
    "texts",
    "wire_values",
]

INSTANT = pa.timestamp("ms", tz="UTC")

_INSTANT_RULE = msgspec.inspect.type_info(Instant)


def arrow_type(field: str) -> pa.DataType:
    """The type that a field of the wire has as a column of a history."""
    rule = msgspec.inspect.type_info(WIRE_FIELDS[field])
    if rule == _INSTANT_RULE:
        return INSTANT
    if isinstance(rule, msgspec.inspect.BoolType):
        return pa.bool_()
    return pa.int64() if isinstance(rule, msgspec.inspect.IntType) else pa.string()


def plain(values: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, without dictionary; text as `string`, empty text and NaN as null."""
    array = values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # what a column of no chunks or of too many stays
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        array = array.cast(pa.string())
        return pc.if_else(pc.equal(array, ""), None, array)
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_nan(array), None, array)
    return array


def wire_values(values: pa.Array, *, field: str, column: str) -> pa.Array:
    """A column as a field of the wire, of `arrow_type(field)`; nulls stay.

    Raises:
        HistoryError: its type is another one, or the wire would refuse a value.
    """
    if field in ID_PREFIXES:
        return wire_ids(texts(values, column), field=field, column=column)
    kind = arrow_type(field)
    if kind == INSTANT:
        return instants(values, column)
    if kind == pa.bool_():
        return flags(values, column)
    if kind == pa.int64():
        whole = _whole(numbers(values, column), column)
        _check(whole, WIRE_FIELDS[field], field=field, column=column)
        return whole
    return _words(values, WIRE_FIELDS[field], field=field, column=column)


def extras(values: pa.Array, *, name: str, column: str) -> pa.Array:
    """A column as a declared extra: bool, float64 or string.

    Text that reads as numbers throughout, as that of a CSV file may, is numbers.

    Raises:
        HistoryError: it is none of these, or the wire would refuse a value.
    """
    if pa.types.is_boolean(values.type):
        return values
    try:
        number = numbers(values, column)
    except HistoryError:
        return _words(values, Extra, field=f"attributes.{name}", column=column)
    return pa.array(number, mask=np.isnan(number))


def texts(values: pa.Array, column: str) -> pa.StringArray:
    """A column as text; numbers must be whole ones.

    Raises:
        HistoryError: it is neither text nor whole numbers.
    """
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        # An id that is missing somewhere is often kept as a float.
        return _cast(values, pa.int64(), column, "ids").cast(pa.string())
    if not (_is_text(values.type) or pa.types.is_integer(values.type)):
        _refuse_type(values, column, "text or whole numbers")
    return values.cast(pa.string())


def numbers(values: pa.Array, column: str) -> npt.NDArray[np.float64]:
    """A column as numbers, NaN where there is none, shape (rows,).

    Raises:
        HistoryError: it holds something else, or infinity.
    """
    kind = values.type
    if not (
        _is_text(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        _refuse_type(values, column, "numbers")
    array = _cast(values, pa.float64(), column, "numbers")
    number: npt.NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
    if np.isinf(number).any():
        raise HistoryError(f"the column {column!r} holds infinity, which is no number to use.")
    return number


def flags(values: pa.Array, column: str) -> pa.BooleanArray:
    """A column as truth: of bool, 0 and 1, or their text.

    Raises:
        HistoryError: it holds something else.
    """
    if pa.types.is_boolean(values.type):
        return values
    if _is_text(values.type):
        return _cast(values, pa.bool_(), column, "true and false")
    number = numbers(values, column)
    if not np.isin(number[~np.isnan(number)], (0, 1)).all():
        raise HistoryError(f"the column {column!r} must hold nothing but 0 and 1.")
    return pa.array(number == 1, mask=np.isnan(number))


def instants(values: pa.Array, column: str, *, unit: str | None = None) -> pa.TimestampArray:
    """A column as instants of `INSTANT`; times without a zone are UTC.

    Args:
        values: times, ISO 8601 text, or with a unit numbers since the epoch.
        column: its name, for errors.
        unit: "s" or "ms".

    Raises:
        HistoryError: it holds something else.
    """
    if unit is not None:
        number = numbers(values, column) * (1_000 if unit == "s" else 1)
        millis = pa.array(np.rint(number), mask=np.isnan(number))
        return _cast(millis, pa.int64(), column, "times").cast(INSTANT)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        raise HistoryError(
            f"the column {column!r} holds numbers, not times; only the time may be a number, "
            f"with its unit: time: {{column: {column}, unit: s}}."
        )
    if _is_text(values.type):
        try:
            values = values.cast(pa.timestamp("ns", tz="UTC"))
        except pa.ArrowInvalid:  # no zone: as in a timestamp without one, it is UTC
            values = _cast(values, pa.timestamp("ns"), column, "times")
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        _refuse_type(values, column, "times")
    # A finer time is cut to the millisecond.
    return pc.cast(values, INSTANT, safe=False)


def refuse_nulls(values: pa.Array, column: str, what: str) -> None:
    """As `refuse_rows`, for the rows without a value."""
    if values.null_count:
        refuse_rows(values.is_null().to_numpy(zero_copy_only=False), column, what)


def refuse_rows(wrong: npt.NDArray[np.bool_], column: str, what: str) -> None:
    """Name the first of the rows that are wrong, counted from 1.

    Raises:
        HistoryError: there is one.
    """
    if wrong.any():
        raise HistoryError(f"row {np.argmax(wrong) + 1} of the column {column!r} {what}.")


def _words(values: pa.Array, rule: Any, *, field: str, column: str) -> pa.StringArray:
    """Text as the service would have it: checked, without card numbers."""
    encoded = texts(values, column).dictionary_encode()
    clean = pa.array([redact(word) for word in encoded.dictionary.to_pylist()], pa.string())
    _check(clean, rule, field=field, column=column)
    return clean.take(encoded.indices)


def _check(values: pa.Array, rule: Any, *, field: str, column: str) -> None:
    """Check each distinct value by the rule of the wire."""
    for value in values.unique().drop_null().to_pylist():
        try:
            msgspec.convert(value, rule)
        except msgspec.ValidationError as error:
            why = str(error)
            if isinstance(kind := msgspec.inspect.type_info(rule), msgspec.inspect.LiteralType):
                why = f"it is not one of {', '.join(map(str, kind.values))}"
            raise HistoryError(
                f"the column {column!r} holds {value!r}, which {field} does not take: {why}."
            ) from None


def _whole(number: npt.NDArray[np.float64], column: str) -> pa.Int64Array:
    return _cast(pa.array(number, mask=np.isnan(number)), pa.int64(), column, "whole numbers")


def _cast(values: pa.Array, kind: pa.DataType, column: str, what: str) -> pa.Array:
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise HistoryError(f"the column {column!r} does not hold {what}: {why}.") from None


def _refuse_type(values: pa.Array, column: str, what: str) -> NoReturn:
    raise HistoryError(f"the column {column!r} holds {values.type}; it must hold {what}.")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
