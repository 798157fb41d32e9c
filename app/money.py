"""Money in one reference currency, so that counters can add and policies compare.

Amounts come in minor units of any ISO 4217 currency. The rate table is a file with a version;
the version is frozen into each decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from app.api.wire import MINOR_UNITS_MAX, Amount
from app.documents import DocumentError, read_document

__all__ = ["DEFAULT_RATES", "Rates", "load_rates"]

DEFAULT_RATES = Path(__file__).parent / "defaults" / "rates.yaml"

_Code = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class _Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate: Annotated[float, Meta(gt=0, le=1e6)]
    exponent: Annotated[int, Meta(ge=0, le=4)] = 2


class _RateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    reference: _Code
    currencies: dict[_Code, _Currency]


@dataclass(frozen=True, slots=True)
class Rates:
    """A rate table.

    Attributes:
        version: of the table.
        reference: the reference currency.
        factors: reference minor units per minor unit, by currency.
    """

    version: str
    reference: str
    factors: dict[str, float]

    def to_reference(self, amount: Amount) -> int | None:
        """The amount in minor units of the reference currency; None where there is no rate.

        At most `MINOR_UNITS_MAX`, as every amount on the wire: counters and records rely on it.
        """
        factor = self.factors.get(amount.currency)
        return None if factor is None else min(int(amount.value * factor + 0.5), MINOR_UNITS_MAX)


def load_rates(path: Path) -> Rates:
    """Load a rate table.

    Raises:
        DocumentError: the file cannot be used, or lacks its reference currency.
    """
    table = read_document(path, _RateFile)
    reference = table.currencies.get(table.reference)
    if reference is None or reference.rate != 1:
        raise DocumentError(f"{path}: the reference currency {table.reference} must have rate 1.")
    factors = {
        code: currency.rate * 10.0 ** (reference.exponent - currency.exponent)
        for code, currency in table.currencies.items()
    }
    return Rates(table.version, table.reference, factors)
