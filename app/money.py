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

from app.api.wire import Amount

__all__ = ["DEFAULT_RATES", "Rates", "load_rates"]

DEFAULT_RATES = Path(__file__).parent / "defaults" / "rates.yaml"

_Code = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class _Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate: Annotated[float, Meta(gt=0)]
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
        """The amount in minor units of the reference currency; None where there is no rate."""
        factor = self.factors.get(amount.currency)
        return None if factor is None else int(amount.value * factor + 0.5)


def load_rates(path: Path) -> Rates:
    """Load a rate table.

    Raises:
        ValueError: the file cannot be used, or lacks its reference currency.
    """
    try:
        table = msgspec.yaml.decode(path.read_bytes(), type=_RateFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: {error}.") from None
    reference = table.currencies.get(table.reference)
    if reference is None or reference.rate != 1:
        raise ValueError(f"{path}: the reference currency {table.reference} must have rate 1.")
    factors = {
        code: currency.rate * 10.0 ** (reference.exponent - currency.exponent)
        for code, currency in table.currencies.items()
    }
    return Rates(table.version, table.reference, factors)
