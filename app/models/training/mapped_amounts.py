"""Amounts of somebody's own data in minor units, and in those of the reference currency."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from app.api.wire import MINOR_UNITS_MAX
from app.documents import read_document
from app.features.rings import Int64s
from app.models.training.history import HistoryError
from app.models.training.mapped_columns import numbers, plain, refuse_nulls, refuse_rows, texts
from app.models.training.mapping import AmountColumn, CurrencyColumn
from app.money import load_rates

__all__ = ["read_amounts"]


class _Currency(msgspec.Struct, frozen=True):
    exponent: int = 2


class _Exponents(msgspec.Struct, frozen=True):
    """What a rate table says of the decimals of currencies."""

    currencies: dict[str, _Currency]


def read_amounts(
    table: pa.Table, amount: AmountColumn, rates_path: Path
) -> tuple[Int64s, pa.StringArray, Int64s]:
    """Read the amounts of all attempts.

    Args:
        table: the columns that are mapped.
        amount: which they are.
        rates_path: the rate table.

    Returns:
        Minor units, shape (attempts,); currency; minor units of the reference currency.

    Raises:
        HistoryError: an amount is missing, negative, too large or no number, or there is no rate.
        DocumentError: the rate table cannot be used.
    """
    number = numbers(plain(table[amount.column]), amount.column)
    currency = _currencies(table, amount)
    rates = load_rates(rates_path)
    exponents = read_document(rates_path, _Exponents).currencies
    codes = currency.dictionary.to_pylist()
    unknown = [code for code in codes if code not in rates.factors]
    if unknown:
        known = ", ".join(sorted(rates.factors))
        raise HistoryError(f"there is no rate for the currency {unknown[0]!r}, only for {known}.")
    of_row = currency.indices.to_numpy(zero_copy_only=False)
    if amount.unit == "major":
        number = number * 10.0 ** np.array([exponents[code].exponent for code in codes])[of_row]
    else:
        refuse_rows(number % 1 > 0, amount.column, "is no whole number; check its unit")
    for wrong, what in (
        (np.isnan(number), "has no amount"),
        (number < 0, "is negative; an attempt has an amount of 0 or more"),
        (number > MINOR_UNITS_MAX, f"is above the largest amount, {MINOR_UNITS_MAX} minor units"),
    ):
        refuse_rows(wrong, amount.column, what)
    value = np.rint(number).astype(np.int64)
    # The same arithmetic as `Rates.to_reference`, so that counters add what serving adds.
    factor = np.array([rates.factors[code] for code in codes])[of_row]
    reference = np.minimum(value * factor + 0.5, MINOR_UNITS_MAX).astype(np.int64)
    return value, currency.dictionary_decode(), reference


def _currencies(table: pa.Table, amount: AmountColumn) -> pa.DictionaryArray:
    if not isinstance(amount.currency, CurrencyColumn):
        rows = pa.array(np.zeros(len(table), dtype=np.int32))
        return pa.DictionaryArray.from_arrays(rows, pa.array([amount.currency]))
    column = amount.currency.column
    code = texts(plain(table[column]), column)
    refuse_nulls(code, column, "has no currency")
    return code.dictionary_encode()
