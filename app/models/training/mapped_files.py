"""Reads the columns that a mapping asks for, from Parquet or CSV, one file or a folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from app.models.training.history import HistoryError
from app.models.training.mapping import nearest

__all__ = ["read_columns"]

_SUFFIXES = (".parquet", ".csv")
# NA is not among them: it is Namibia.
_ABSENT = ["", "null", "NULL", "nan", "NaN"]


def read_columns(data: Path, columns: Sequence[str]) -> pa.Table:
    """Read some columns of a file, or of all files of a folder in the order of their paths.

    Those of a CSV file are text, whatever they look like: what a column means says the mapping,
    and a guess from the first rows would turn the id 007 into 7.

    Raises:
        HistoryError: there is nothing to read, or a column is not there or is there twice.
    """
    tables = [_read(file, columns) for file in _files(data)]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise HistoryError(f"{data}: the files do not go together: {_line(error)}.") from None
    if len(table) == 0:
        raise HistoryError(f"{data} holds no rows.")
    return table


def _files(data: Path) -> list[Path]:
    if not data.exists():
        raise HistoryError(f"{data} does not exist.")
    found = [data] if data.is_file() else sorted(data.rglob("*"))
    files = [file for file in found if file.is_file() and file.suffix.lower() in _SUFFIXES]
    if not files:
        raise HistoryError(f"{data}: data must be .parquet or .csv, one file or a folder of them.")
    return files


def _read(file: Path, columns: Sequence[str]) -> pa.Table:
    is_csv = file.suffix.lower() == ".csv"
    try:
        return _read_csv(file, columns) if is_csv else _read_parquet(file, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoryError(f"{file} cannot be read: {_line(error)}.") from None


def _read_parquet(file: Path, columns: Sequence[str]) -> pa.Table:
    with pq.ParquetFile(file) as parquet:
        _check_names(file, parquet.schema_arrow.names, columns)
        return parquet.read(columns=list(columns)).select(list(columns))


def _read_csv(file: Path, columns: Sequence[str]) -> pa.Table:
    with file.open(encoding="utf-8-sig", newline="") as text:
        _check_names(file, next(csv.reader(text), []), columns)
    return pacsv.read_csv(
        file,
        convert_options=pacsv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=_ABSENT,
        ),
    )


def _check_names(file: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    if not names:
        raise HistoryError(f"{file} is empty.")
    for column in columns:
        if column not in names:
            close = nearest(column, names)
            raise HistoryError(f"{file} has no column {column!r}; the nearest are {close}.")
        if names.count(column) > 1:
            raise HistoryError(f"{file} has more than one column {column!r}.")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
