"""The wire: what callers send and get. These structs are the source; OpenAPI is made from them.

Field names are final; adding an optional field is the only free change. Optional fields are
`UNSET` when the caller did not send them, which is not the same as null: null is refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = [
    "CLIENT_DEFAULT",
    "MINOR_UNITS_MAX",
    "Accepted",
    "Amount",
    "Attempt",
    "Decision",
    "Label",
    "Model",
    "Outcome",
    "OutcomeKind",
    "Problem",
    "ReasonText",
    "StandIn",
    "ThresholdsShown",
    "as_datetime",
    "inner",
]

# JSON integers beyond 2^53 lose digits in many clients; no payment is near it.
MINOR_UNITS_MAX = 2**53 - 1

CLIENT_DEFAULT: Final = "client_default"
"""The rung of what a client decided by itself."""


_START, _END = "^", r"(?!\n)$"


def _whole(pattern: str) -> str:
    """A pattern of the whole text: Python's `$` alone would let a line break at the end through."""
    return f"{_START}{pattern}{_END}"


def inner(pattern: str) -> str:
    """The pattern of a text of the wire without its anchors, to be part of a larger one."""
    assert pattern.startswith(_START)
    assert pattern.endswith(_END)
    return pattern[len(_START) : -len(_END)]


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


def as_datetime(instant: str) -> datetime:
    """The time that an `Instant` says.

    Raises:
        ValueError: there is no such time, as on 30 February.
    """
    return datetime.fromisoformat(instant.upper())  # RFC 3339 allows a small t and z


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


OutcomeKind = Literal[
    "challenge_passed",
    "challenge_failed",
    "challenge_abandoned",
    "authorised",
    "issuer_declined",
    "captured",
    "reversed",
    "refunded",
    "superseded",
]


class Outcome(Part, frozen=True, omit_defaults=True):
    """What became of an attempt, `POST /v1/outcomes`. Names its decision, its attempt, or both."""

    outcome_id: Id
    kind: OutcomeKind
    occurred_at: Instant
    decision_id: Id | UnsetType = UNSET
    attempt_id: Id | UnsetType = UNSET
    issuer_code: Text | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET


class Label(Part, frozen=True, omit_defaults=True):
    """What an attempt turned out to be, `POST /v1/labels`.

    A label is corrected by a further one: `withdrawn` takes back what the source said before.
    """

    label_id: Id
    label: Literal["fraud", "not_fraud", "withdrawn"]
    source: Literal["chargeback", "early_alert", "review", "customer"]
    event_at: Instant
    arrived_at: Instant | UnsetType = UNSET
    decision_id: Id | UnsetType = UNSET
    attempt_id: Id | UnsetType = UNSET
    reason_code: Text | UnsetType = UNSET


class StandIn(Part, frozen=True, omit_defaults=True):
    """What a client decided by itself while no region answered, `POST /v1/stand-ins`.

    Attributes:
        attempt: as it would have been sent; its id tells repeats.
        action: that the checkout acted on.
        decided_at: when, by the client's clock.
        policy_version: of the policy that it knew; 0 for none.
        reasons: codes.
    """

    attempt: Attempt
    action: Literal["approve", "step_up", "decline"]
    decided_at: Instant
    policy_version: Annotated[int, Meta(ge=0, le=MINOR_UNITS_MAX)]
    reasons: Annotated[
        tuple[
            Literal[
                "STANDING_POLICY",
                "CLIENT_ATTEMPT_CAP",
                "CLIENT_HOURLY_CAP",
                "CLIENT_WITHOUT_POLICY",
            ],
            ...,
        ],
        Meta(max_length=4),
    ] = ()


class Accepted(Struct, frozen=True, kw_only=True):
    """The answer to an outcome, a label or a stand-in, 202: it is in the journal.

    Attributes:
        id: the sender's.
        duplicate: whether it had been taken before; then nothing was added.
        home_region: where its effect is counted: the region of the decision.
    """

    id: str
    duplicate: bool
    home_region: str


class ReasonText(Struct, frozen=True, kw_only=True):
    """Why, in a code for machines and a sentence for people."""

    code: str
    text: str


class ThresholdsShown(Struct, frozen=True, kw_only=True):
    """Probabilities from which the action becomes step-up or decline for this attempt."""

    step_up: float | None
    decline: float


class Model(Struct, frozen=True, kw_only=True):
    """The model that scored, and what its training data was."""

    name: str
    version: str
    provenance: str


class Decision(Struct, frozen=True, kw_only=True):
    """The answer to an attempt."""

    decision_id: str
    attempt_id: str
    action: Literal["approve", "step_up", "decline"]
    score: float | None
    rung: Literal["full", "batch", "rules", "tier_default", "client_default"]
    not_higher: dict[str, str]
    reasons: list[ReasonText]
    thresholds: ThresholdsShown | None
    model: Model | None
    policy_version: int
    region: str
    as_of: str
    feature_age_ms: int | None
    took_ms: float
    token: str


class FieldProblem(Struct, frozen=True, kw_only=True):
    """One field that is wrong, and how."""

    field: str
    problem: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    errors: list[FieldProblem] = msgspec.field(default_factory=list)
