"""The catalogue of reason codes: one wording for those who work with a decision, one for notices.

Two readers, two texts. `sentence` is for analysts, operations and the merchant's own systems.
`notice` is what a customer or merchant may be told in a notice of adverse action, in the manner of
the sample forms of Regulation B (12 CFR 1002, appendix C): it names the specific and true ground,
whichever direction the value went, without the number, the threshold or the method, from which a
fraudster would learn, and names no protected attribute.

A code without a notice is never told:

* a standing policy or a score is no specific reason (12 CFR 1002.9(b)(2));
* some would teach how fraud is found, or when less is looked at;
* some speak of the merchant, not of who pays;
* a country of issue may stand for national origin, and is for people to look at first.

So a decision may be left with no notice at all: then a person has to write one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.api.wire import ReasonText

__all__ = [
    "CATALOGUE",
    "CLIENT_ATTEMPT_CAP",
    "CLIENT_HOURLY_CAP",
    "CLIENT_WITHOUT_POLICY",
    "MODEL_RISK",
    "NOTICES_MAX",
    "STAND_IN_BUDGET",
    "STAND_IN_CARD",
    "CatalogueEntry",
    "Family",
    "described",
    "notices",
]

MODEL_RISK = "MODEL_RISK"
STAND_IN_BUDGET = "STAND_IN_BUDGET"
STAND_IN_CARD = "STAND_IN_CARD"
CLIENT_ATTEMPT_CAP = "CLIENT_ATTEMPT_CAP"
CLIENT_HOURLY_CAP = "CLIENT_HOURLY_CAP"
CLIENT_WITHOUT_POLICY = "CLIENT_WITHOUT_POLICY"
# More than four principal reasons are not likely to help (12 CFR 1002.9, comment 9(b)(2)-1).
NOTICES_MAX = 4


class Family(enum.StrEnum):
    """What a reason is about; dashboards and reviews are sorted by it."""

    AMOUNT = "amount"
    VELOCITY = "velocity"
    HISTORY = "history"
    ACCOUNT = "account"
    CARD = "card"
    DEVICE = "device"
    LOCATION = "location"
    BASKET = "basket"
    MERCHANT = "merchant"
    POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """What there is to say of a code.

    Attributes:
        family: what it is about.
        sentence: for those who work with the decision.
        notice: for a notice of adverse action; None where the code must not be disclosed.
    """

    family: Family
    sentence: str
    notice: str | None

    @property
    def disclosable(self) -> bool:
        """Whether a notice may give this reason."""
        return self.notice is not None


def _entry(family: Family, sentence: str, notice: str | None) -> CatalogueEntry:
    return CatalogueEntry(family=family, sentence=sentence, notice=notice)


CATALOGUE: Mapping[str, CatalogueEntry] = {
    "AMOUNT_UNUSUAL": _entry(
        Family.AMOUNT,
        "The amount is unusually high for this merchant.",
        "The amount of the payment.",
    ),
    "BASKET_CONTENT": _entry(
        Family.BASKET,
        "Baskets with as many items, or with gift cards, carry more risk.",
        "The kind or number of items in the order.",
    ),
    "CARD_ACTIVITY": _entry(
        Family.HISTORY,
        "The card's use over the last 30 days is unusual.",
        "How the payment card was used over the last month.",
    ),
    "CARD_DECLINED": _entry(
        Family.HISTORY,
        "Issuers declined other payments with the card within a day.",
        "Recent payments with this payment card that were declined.",
    ),
    "CARD_COUNTRY": _entry(
        Family.CARD,
        "Cards issued in this country carry more risk; review before any notice.",
        None,
    ),
    "CARD_SPENDING": _entry(
        Family.AMOUNT,
        "The amount, or the day's total, does not fit what the card usually spends.",
        "The amount compared with other payments made with this payment card.",
    ),
    "CARD_TYPE": _entry(
        Family.CARD,
        "Cards of this kind of funding carry more risk.",
        "The type of payment card.",
    ),
    "COUNTRY_MISMATCH": _entry(
        Family.LOCATION,
        "The network address, the card and the addresses given are not of one country.",
        "The locations given for this payment do not match.",
    ),
    "DEVICE_MANY_CARDS": _entry(
        Family.DEVICE,
        "Many different cards were used from the device within a day.",
        None,
    ),
    "DEVICE_TYPE": _entry(
        Family.DEVICE,
        "Devices of this kind carry more risk.",
        "The type of device the payment was made from.",
    ),
    "EMAIL_DOMAIN": _entry(
        Family.ACCOUNT,
        "E-mail addresses of this domain carry more risk.",
        "The contact details given could not be relied on.",
    ),
    "EMAIL_MANY_ACCOUNTS": _entry(
        Family.ACCOUNT,
        "Many different accounts use the e-mail address.",
        None,
    ),
    "EMULATOR": _entry(Family.DEVICE, "The device is an emulator.", None),
    "LINKED_FRAUD": _entry(
        Family.HISTORY,
        "Fraud was reported lately on cards that share the device or the e-mail address.",
        None,
    ),
    "MERCHANT_BLOCKED": _entry(
        Family.MERCHANT,
        "The merchant is on the list of those that may take no payment.",
        None,
    ),
    "MERCHANT_HOT": _entry(
        Family.MERCHANT,
        "The merchant has seen much fraud lately.",
        None,
    ),
    "MERCHANT_PROFILE": _entry(
        Family.MERCHANT,
        "Merchants of this category or country carry more risk.",
        None,
    ),
    MODEL_RISK: _entry(
        Family.POLICY,
        "The model finds the attempt riskier than this merchant accepts.",
        None,
    ),
    "NEW_ACCOUNT": _entry(
        Family.ACCOUNT,
        "The customer's account is very new, or its age is not known.",
        "The length of time the account has been open.",
    ),
    "NO_HISTORY": _entry(
        Family.HISTORY,
        "Of the card, device, address or merchant nothing is known, or it could not be read.",
        "Not enough payment history could be verified.",
    ),
    "PAYMENT_CHANNEL": _entry(
        Family.CARD,
        "Payments through this channel, or with card data taken this way, carry more risk.",
        "How the payment was made and the payment card's details were given.",
    ),
    "PROXY": _entry(
        Family.LOCATION,
        "The attempt comes through a proxy.",
        "The location the payment was made from could not be verified.",
    ),
    "STANDING_POLICY": _entry(
        Family.POLICY,
        "The merchant's standing policy for this amount applies.",
        None,
    ),
    STAND_IN_BUDGET: _entry(
        Family.POLICY,
        "A lower rung stood in, and what the merchant's tier may approve so was used up.",
        None,
    ),
    CLIENT_ATTEMPT_CAP: _entry(
        Family.POLICY,
        "No region answered the checkout, and the amount is above what it may approve by itself.",
        None,
    ),
    CLIENT_HOURLY_CAP: _entry(
        Family.POLICY,
        "No region answered the checkout, which has approved enough by itself within the hour.",
        None,
    ),
    CLIENT_WITHOUT_POLICY: _entry(
        Family.POLICY,
        "No region answered the checkout, and it had no policy to stand in with.",
        None,
    ),
    STAND_IN_CARD: _entry(
        Family.POLICY,
        "A lower rung stood in, and what one card may be approved so was used up.",
        None,
    ),
    "VELOCITY_BIN": _entry(
        Family.VELOCITY,
        "Issuers declined many payments with cards of the same range within a short time.",
        None,
    ),
    "VELOCITY_CARD": _entry(
        Family.VELOCITY,
        "The card was tried many times within a short time.",
        "The number of recent payment attempts with this payment card.",
    ),
    "VELOCITY_DEVICE": _entry(
        Family.VELOCITY,
        "The device made many attempts within a short time.",
        "The number of recent payment attempts from this device.",
    ),
    "VELOCITY_IP": _entry(
        Family.VELOCITY,
        "The network address made many attempts within a short time.",
        "The number of recent payment attempts from this internet connection.",
    ),
    "VELOCITY_MERCHANT": _entry(
        Family.MERCHANT,
        "The merchant sees unusually many attempts, or many that issuers decline.",
        None,
    ),
}


def described(codes: Iterable[str]) -> list[ReasonText]:
    """Codes with their sentences; a code that a rule file made up stands for itself."""
    return [ReasonText(code=code, text=_sentence(code)) for code in codes]


def notices(codes: Iterable[str]) -> list[ReasonText]:
    """What a notice of adverse action may say of the codes.

    Args:
        codes: strongest first, repeats allowed.

    Returns:
        The first `NOTICES_MAX` that may be disclosed; a code that is not in the catalogue is not,
        since nobody has weighed its wording.
    """
    entries = {code: CATALOGUE[code] for code in codes if code in CATALOGUE}
    told = [
        ReasonText(code=code, text=entry.notice)
        for code, entry in entries.items()
        if entry.notice is not None
    ]
    return told[:NOTICES_MAX]


def _sentence(code: str) -> str:
    entry = CATALOGUE.get(code)
    return code.replace("_", " ").capitalize() + "." if entry is None else entry.sentence
