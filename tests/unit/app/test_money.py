"""Amounts in one currency: exponents, rates, and what has no rate."""

from __future__ import annotations

import pytest

from app.api.wire import MINOR_UNITS_MAX, Amount
from app.money import DEFAULT_RATES, load_rates

FILE = """
version: "v1"
reference: USD
currencies:
  USD: {rate: 1}
  EUR: {rate: 1.1}
  JPY: {rate: 0.0067, exponent: 0}
  KWD: {rate: 3.26, exponent: 3}
"""


@pytest.fixture
def load(tmp_path):
    def write_and_load(content=FILE):
        path = tmp_path / "rates.yaml"
        path.write_text(content)
        return load_rates(path)

    return write_and_load


@pytest.mark.parametrize(
    ("value", "currency", "cents"),
    [
        (1_999, "USD", 1_999),
        (0, "EUR", 0),
        (1_000, "EUR", 1_100),
        (1_000, "JPY", 670),  # 1,000 yen are 6.70 dollars
        (1_000, "KWD", 326),  # 1 dinar is 3.26 dollars
        (1, "JPY", 1),  # 0.67 cents, rounded
    ],
)
def test_minor_units_become_minor_units_of_the_reference(load, value, currency, cents):
    assert load().to_reference(Amount(value=value, currency=currency)) == cents


def test_a_currency_without_a_rate_has_no_amount(load):
    assert load().to_reference(Amount(value=1, currency="XXX")) is None


def test_no_amount_grows_beyond_what_the_wire_could_carry(load):
    rates = load(FILE + "  BTC: {rate: 100000}\n")
    most = rates.to_reference(Amount(value=MINOR_UNITS_MAX, currency="BTC"))
    assert most == MINOR_UNITS_MAX


def test_the_reference_may_have_an_exponent_of_its_own(load):
    rates = load(
        "{version: v2, reference: JPY, currencies: {JPY: {rate: 1, exponent: 0}, USD: {rate: 150}}}"
    )
    assert rates.to_reference(Amount(value=200, currency="USD")) == 300


def test_the_version_comes_with_the_table(load):
    assert load().version == "v1"


def test_the_table_of_a_first_day_can_be_loaded():
    assert load_rates(DEFAULT_RATES).to_reference(Amount(value=5, currency="USD")) == 5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not: [closed",
        FILE.replace("reference: USD", "reference: SEK"),
        FILE.replace("rate: 1}", "rate: 1.5}"),
        FILE.replace("rate: 1.1", "rate: 0"),
        FILE.replace("rate: 1.1", "rate: .inf"),
        FILE.replace("rate: 1.1", "rate: .nan"),
        FILE.replace("EUR", "euro"),
        FILE.replace("exponent: 0", "exponent: 9"),
        FILE + "extra: 1\n",
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(load, content):
    with pytest.raises(ValueError, match=r"rates\.yaml"):
        load(content)
