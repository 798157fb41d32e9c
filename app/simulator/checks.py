"""What checked the payer: address and security code, 3-D Secure, and how old the login data is.

Each is informative and none decides: a genuine payer mistypes, a thief has the data of the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import DAY_MS, Bools, Floats, Ints, Random, chance, draw
from app.simulator.attempts import Attempts
from app.simulator.campaigns import NEW_PATTERN, PATTERNS
from app.simulator.details import ENTRY_MODES, Details
from app.simulator.instruments import BRANDS
from app.simulator.world import World

__all__ = [
    "AVS",
    "CUSTOMER_HISTORY",
    "CUSTOMER_HISTORY_MISSING",
    "CVV",
    "ECIS",
    "THREE_DS_SHARE",
    "THREE_DS_STATUSES",
    "Checks",
    "draw_checks",
]

AVS = ("match", "partial", "no_match", "unavailable")
CVV = ("match", "no_match", "not_provided", "unavailable")
# By position in `campaigns.PATTERNS`; friendly fraud is drawn as genuine, which it is until then.
_GENUINE_AVS, _GENUINE_CVV = (0.80, 0.09, 0.04, 0.07), (0.87, 0.02, 0.08, 0.03)
_AVS_WEIGHTS = {
    "card_testing": (0.35, 0.15, 0.40, 0.10),
    "stolen_card": (0.48, 0.17, 0.25, 0.10),
    "merchant_compromise": (0.70, 0.12, 0.10, 0.08),
    "account_takeover": (0.62, 0.22, 0.09, 0.07),
    "device_farm": (0.42, 0.18, 0.28, 0.12),
    NEW_PATTERN: (0.30, 0.05, 0.05, 0.60),
}
_CVV_WEIGHTS = {
    "card_testing": (0.50, 0.32, 0.13, 0.05),
    "stolen_card": (0.74, 0.09, 0.13, 0.04),
    "merchant_compromise": (0.78, 0.04, 0.15, 0.03),
    "account_takeover": (0.30, 0.03, 0.64, 0.03),
    "device_farm": (0.62, 0.18, 0.15, 0.05),
    NEW_PATTERN: (0.05, 0.01, 0.54, 0.40),
}

THREE_DS_SHARE = 0.18  # of remote attempts; by fraud, which avoids it, less
_FRAUD_THREE_DS = 0.4  # of that share
THREE_DS_STATUSES = ("Y", "A", "U", "N")
_STATUS_WEIGHTS, _FRAUD_STATUS_WEIGHTS = (0.90, 0.05, 0.03, 0.02), (0.22, 0.16, 0.17, 0.45)
ECIS = ("05", "06", "07", "02", "01", "00")

# Columns of the attempts that tell the customer's history with the merchant; of attempts that
# have them, this share comes without each.
CUSTOMER_HISTORY = (
    "customer__account_created_at",
    "attributes__password_age_days",
    "attributes__email_age_days",
)
CUSTOMER_HISTORY_MISSING = 0.03
_CHANGED_BEFORE = 0.6  # takeovers with the password, and likewise the e-mail, changed on the day


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """One row an attempt; `has_*` is False where the caller does not send the field.

    Attributes:
        avs: position in `AVS`.
        cvv: position in `CVV`.
        status: of 3-D Secure, position in `THREE_DS_STATUSES`.
        eci: position in `ECIS`.
        shifted: the liability lies with the issuer.
        password_age_days: since the account's password was last set.
        email_age_days: since its e-mail address was last set.
    """

    avs: Ints
    cvv: Ints
    status: Ints
    eci: Ints
    shifted: Bools
    password_age_days: Floats
    email_age_days: Floats
    has_avs: Bools
    has_cvv: Bools
    has_three_ds: Bools
    has_created: Bools
    has_password_age: Bools
    has_email_age: Bools


def draw_checks(rng: Random, world: World, attempts: Attempts, details: Details) -> Checks:
    """Draw the checks of each request."""
    size, fraud = len(attempts.at_ms), attempts.pattern > 0
    remote = details.has_network | details.has_device | details.has_email
    # A wallet has checked its cards when they were put in; a card on file is not typed.
    typed = remote & (details.entry_mode != ENTRY_MODES.index("wallet"))
    status = np.where(
        fraud, draw(rng, _FRAUD_STATUS_WEIGHTS, size), draw(rng, _STATUS_WEIGHTS, size)
    )
    mastercard = world.bins.brand[world.card_bin[attempts.card]] == BRANDS.index("mastercard")
    age_days = (attempts.at_ms - world.accounts.created_ms[attempts.account]) / DAY_MS
    known = details.has_customer
    return Checks(
        avs=_by_pattern(rng, attempts.pattern, _GENUINE_AVS, _AVS_WEIGHTS),
        cvv=_by_pattern(rng, attempts.pattern, _GENUINE_CVV, _CVV_WEIGHTS),
        status=status,
        eci=np.minimum(status, 2) + np.where(mastercard, 3, 0),
        shifted=status <= 1,
        password_age_days=_set_before(rng, attempts, age_days, yearly=1.0),
        email_age_days=_set_before(rng, attempts, age_days, yearly=0.15),
        has_avs=typed & details.has_billing,
        has_cvv=typed,
        has_three_ds=remote
        & chance(rng, THREE_DS_SHARE * np.where(fraud, _FRAUD_THREE_DS, 1.0), size),
        has_created=known & ~chance(rng, CUSTOMER_HISTORY_MISSING, size),
        has_password_age=known & ~chance(rng, CUSTOMER_HISTORY_MISSING, size),
        has_email_age=known & ~chance(rng, CUSTOMER_HISTORY_MISSING, size),
    )


def _by_pattern(
    rng: Random,
    pattern: Ints,
    genuine: tuple[float, ...],
    fraudulent: Mapping[str, tuple[float, ...]],
) -> Ints:
    """A draw for each attempt, with the weights of its pattern."""
    drawn = draw(rng, genuine, len(pattern))
    for name, weights in fraudulent.items():
        rows = np.flatnonzero(pattern == PATTERNS.index(name))
        drawn[rows] = draw(rng, weights, len(rows))
    return drawn


def _set_before(rng: Random, attempts: Attempts, age_days: Floats, *, yearly: float) -> Floats:
    """Days since it was last set: when the account was opened, or at a change of mind since."""
    size = len(age_days)
    since = np.minimum(rng.exponential(365 / yearly, size), age_days)
    taken = attempts.pattern == PATTERNS.index("account_takeover")
    changed = taken & chance(rng, _CHANGED_BEFORE, size)
    since = np.where(changed, np.minimum(rng.exponential(0.2, size), age_days), since)
    return np.asarray(np.round(since, 3))
