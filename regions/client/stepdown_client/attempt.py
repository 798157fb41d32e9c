"""A payment attempt, as `POST /v1/decisions` takes it.

The same structs as the service's, so that both sides write an attempt in the same bytes: the answer
is bound to their hash. Fields that are not set are not sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from stepdown_client.errors import InvalidAttemptError

__all__ = [
    "Address",
    "Amount",
    "Attempt",
    "Basket",
    "Customer",
    "Device",
    "Instrument",
    "Merchant",
    "Network",
    "ThreeDs",
    "Transaction",
    "body_hash",
    "canonical",
]

# JSON integers beyond 2^53 lose digits in many clients; no payment is near it.
MINOR_UNITS_MAX = 2**53 - 1


def _whole(pattern: str) -> str:
    """A pattern of the whole text: Python's `$` alone would let a line break at the end through."""
    return rf"^{pattern}(?!\n)$"


# Printable ASCII without spaces: ids become parts of keys, file names and log lines.
_VISIBLE = _whole("[!-~]+")
Id = Annotated[str, Meta(max_length=64, pattern=_VISIBLE)]
Hash = Annotated[str, Meta(max_length=128, pattern=_VISIBLE)]
Text = Annotated[str, Meta(min_length=1, max_length=128)]
# Too short for a card number, so that it needs no look for one.
ShortText = Annotated[str, Meta(min_length=1, max_length=12)]
Country = Annotated[str, Meta(pattern=_whole("[A-Z]{2}"))]
Currency = Annotated[str, Meta(pattern=_whole("[A-Z]{3}"))]
Bin = Annotated[str, Meta(pattern=_whole("([0-9]{6}|[0-9]{8})"))]
Month = Annotated[str, Meta(pattern=_whole("[0-9]{4}-(0[1-9]|1[0-2])"))]
# Checked to the last digit in `app.api.reading`, kept as sent, read by `as_datetime`.
Instant = Annotated[
    str,
    Meta(
        pattern=_whole(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
            r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
        ),
        max_length=40,
    ),
]
Extra = float | bool | Annotated[str, Meta(max_length=256)]
ExtraName = Annotated[str, Meta(pattern=_whole("[a-z][a-z0-9_]{0,63}"))]


class Part(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, gc=False):
    """Base of everything a caller sends: unknown fields are refused by name."""


class Amount(Part, frozen=True):
    """Money in minor units."""

    value: Annotated[int, Meta(ge=0, le=MINOR_UNITS_MAX)]
    currency: Currency


class Merchant(Part, frozen=True):
    """Who is paid. Tier, category and country come from the merchant directory, never from here."""

    id: Id
    terminal_id: Id | UnsetType = UNSET


class Instrument(Part, frozen=True):
    """What is paid with. The token is never a card number."""

    token: Annotated[str, Meta(min_length=8, max_length=64, pattern=_VISIBLE)]
    bin: Bin | UnsetType = UNSET
    brand: Text | UnsetType = UNSET
    funding: Literal["credit", "debit", "prepaid", "unknown"] | UnsetType = UNSET
    issuer_country: Country | UnsetType = UNSET
    expires: Month | UnsetType = UNSET
    network_token: bool | UnsetType = UNSET


class ThreeDs(Part, frozen=True):
    """What 3-D Secure said."""

    version: ShortText | UnsetType = UNSET
    status: Literal["Y", "N", "A", "U", "C", "R", "I"] | UnsetType = UNSET
    eci: Annotated[str, Meta(pattern=_whole("[0-9]{2}"))] | UnsetType = UNSET
    liability_shift: bool | UnsetType = UNSET


class Transaction(Part, frozen=True):
    """How the payment is made."""

    kind: Literal["payment", "verification", "recurring", "instalment"] | UnsetType = UNSET
    channel: Literal["ecommerce", "in_app", "moto", "pos"] | UnsetType = UNSET
    entry_mode: (
        Literal["chip", "contactless", "magstripe", "keyed", "on_file", "wallet"] | UnsetType
    ) = UNSET
    wallet: Text | UnsetType = UNSET
    initiator: Literal["customer", "merchant"] | UnsetType = UNSET
    instalments: Annotated[int, Meta(ge=1, le=120)] | UnsetType = UNSET
    three_ds: ThreeDs | UnsetType = UNSET
    avs: Literal["match", "partial", "no_match", "unavailable"] | UnsetType = UNSET
    cvv: Literal["match", "no_match", "not_provided", "unavailable"] | UnsetType = UNSET


class Customer(Part, frozen=True):
    """Who pays, in tokens and keyed hashes."""

    id: Id | UnsetType = UNSET
    account_created_at: Instant | UnsetType = UNSET
    email_hash: Hash | UnsetType = UNSET
    email_domain: Text | UnsetType = UNSET
    phone_hash: Hash | UnsetType = UNSET
    loyalty_tier: Text | UnsetType = UNSET


class Device(Part, frozen=True):
    """What the customer holds."""

    id: Id | UnsetType = UNSET
    kind: Text | UnsetType = UNSET
    os: Text | UnsetType = UNSET
    browser: Text | UnsetType = UNSET
    language: Text | UnsetType = UNSET
    timezone_offset_min: Annotated[int, Meta(ge=-840, le=840)] | UnsetType = UNSET
    emulator: bool | UnsetType = UNSET


class Network(Part, frozen=True):
    """Where the attempt comes from."""

    ip_hash: Hash | UnsetType = UNSET
    ip_country: Country | UnsetType = UNSET
    ip_asn: Annotated[int, Meta(ge=0, le=2**32 - 1)] | UnsetType = UNSET
    proxy: bool | UnsetType = UNSET


class Address(Part, frozen=True):
    """Where it is billed and shipped to."""

    billing_country: Country | UnsetType = UNSET
    shipping_country: Country | UnsetType = UNSET
    shipping_matches_billing: bool | UnsetType = UNSET
    delivery: Literal["physical", "digital", "pickup"] | UnsetType = UNSET


class Basket(Part, frozen=True):
    """What is bought."""

    items: Annotated[int, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    gift_cards: bool | UnsetType = UNSET
    category: Text | UnsetType = UNSET


class Attempt(Part, frozen=True, omit_defaults=True):
    """One payment attempt, `POST /v1/decisions`."""

    attempt_id: Id
    amount: Amount
    merchant: Merchant
    instrument: Instrument
    occurred_at: Instant | UnsetType = UNSET
    transaction: Transaction = Transaction()
    customer: Customer = Customer()
    device: Device = Device()
    network: Network = Network()
    address: Address = Address()
    basket: Basket = Basket()
    attributes: Annotated[dict[ExtraName, Extra], Meta(max_length=64)] | UnsetType = UNSET
    step_up_available: bool = True


_decoder = msgspec.json.Decoder(Attempt)
_encoder = msgspec.json.Encoder()


def canonical(attempt: Attempt | Mapping[str, Any] | bytes) -> tuple[Attempt, bytes]:
    """An attempt, checked, and its canonical bytes: what is sent, and what the answer is bound to.

    Args:
        attempt: as a struct, as what JSON decodes to, or as JSON.

    Raises:
        InvalidAttemptError: it is none; the service would refuse it.
    """
    try:
        raw = attempt if isinstance(attempt, bytes) else _encoder.encode(attempt)
        checked = _decoder.decode(raw)
    except (msgspec.MsgspecError, TypeError, RecursionError) as error:
        raise InvalidAttemptError(f"this is no attempt: {error}.") from None
    return checked, _encoder.encode(checked)


def body_hash(canonical: bytes) -> bytes:
    """Identity of an attempt's content, 16 bytes."""
    return hashlib.sha256(canonical).digest()[:16]
