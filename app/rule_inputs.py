"""The inputs that rules may name, read from a candidate. Absent ones are left out."""

from __future__ import annotations

from msgspec import UNSET

from app.candidate import Candidate
from app.features.spec import Entity
from app.policy import Policy
from fallback.grammar import Value

__all__ = ["liability_shift", "rule_inputs"]


def rule_inputs(candidate: Candidate, policy: Policy) -> dict[str, Value]:
    """Inputs by name, as `app.rulebook.INPUTS` declares them.

    Args:
        candidate: the attempt.
        policy: in force; says from where on an amount is high for the merchant's tier.
    """
    attempt = candidate.attempt
    transaction, address = attempt.transaction, attempt.address
    three_ds = transaction.three_ds
    values: dict[str, object] = {
        "amount.ref": candidate.amount_ref,
        "amount.value": attempt.amount.value,
        "amount.currency": attempt.amount.currency,
        "merchant.id": attempt.merchant.id,
        "merchant.terminal_id": attempt.merchant.terminal_id,
        "merchant.tier": candidate.tier,
        "instrument.bin": attempt.instrument.bin,
        "instrument.brand": attempt.instrument.brand,
        "instrument.funding": attempt.instrument.funding,
        "instrument.issuer_country": attempt.instrument.issuer_country,
        "instrument.network_token": attempt.instrument.network_token,
        "transaction.kind": transaction.kind,
        "transaction.channel": transaction.channel,
        "transaction.entry_mode": transaction.entry_mode,
        "transaction.initiator": transaction.initiator,
        "transaction.instalments": transaction.instalments,
        "transaction.avs": transaction.avs,
        "transaction.cvv": transaction.cvv,
        "three_ds.liability_shift": liability_shift(candidate),
        "three_ds.eci": UNSET if three_ds is UNSET else three_ds.eci,
        "customer.account_age_days": candidate.account_age_days,
        "customer.email_domain": attempt.customer.email_domain,
        "device.kind": attempt.device.kind,
        "device.emulator": attempt.device.emulator,
        "network.ip_country": attempt.network.ip_country,
        "network.proxy": attempt.network.proxy,
        "address.billing_country": address.billing_country,
        "address.shipping_country": address.shipping_country,
        "address.shipping_matches_billing": address.shipping_matches_billing,
        "basket.items": attempt.basket.items,
        "basket.gift_cards": attempt.basket.gift_cards,
        "tier.amount_high": policy.tier(candidate.tier).amount_high,
        "velocity.card_10s": candidate.velocity.get(Entity.CARD),
        "velocity.device_10s": candidate.velocity.get(Entity.DEVICE),
        "velocity.ip_10s": candidate.velocity.get(Entity.IP),
        "retry.count": candidate.retry,
    }
    if candidate.merchant is not None:
        values["merchant.category"] = candidate.merchant.category
        values["merchant.country"] = candidate.merchant.country
        values["merchant.blocked"] = candidate.merchant.listed("block")
        values["merchant.hot"] = candidate.merchant.listed("hot")
        values["merchant.trusted"] = candidate.merchant.listed("allow")
        values["merchant.exempt_low_value"] = candidate.merchant.exempt("low_value")
        values["merchant.exempt_tra"] = candidate.merchant.exempt("tra")
    return {
        name: value for name, value in values.items() if isinstance(value, (bool, int, float, str))
    }


def liability_shift(candidate: Candidate) -> bool:
    """Whether the issuer bears a fraud; false, not absent, where no 3-D Secure data came."""
    three_ds = candidate.attempt.transaction.three_ds
    return three_ds is not UNSET and three_ds.liability_shift is True
