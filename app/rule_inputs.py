"""The inputs that rules may name, read from a candidate. Absent ones are left out."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET

from app.candidate import Candidate
from app.features.spec import DAY_MS, Entity
from app.policy import Policy
from fallback.grammar import Value

__all__ = ["rule_inputs"]


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
        "amount.ref": UNSET if candidate.amount_ref is None else candidate.amount_ref,
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
        "customer.account_age_days": _age_days(candidate),
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
        "velocity.card_10s": candidate.velocity.get(Entity.CARD, UNSET),
        "velocity.device_10s": candidate.velocity.get(Entity.DEVICE, UNSET),
        "velocity.ip_10s": candidate.velocity.get(Entity.IP, UNSET),
        "retry.count": candidate.retry,
    }
    if candidate.merchant is not None:
        values["merchant.category"] = candidate.merchant.category
        values["merchant.country"] = candidate.merchant.country
    return {
        name: value for name, value in values.items() if isinstance(value, (bool, int, float, str))
    }


def liability_shift(candidate: Candidate) -> bool:
    """Whether the issuer bears a fraud; false, not absent, where no 3-D Secure data came."""
    three_ds = candidate.attempt.transaction.three_ds
    return three_ds is not UNSET and three_ds.liability_shift is True


def _age_days(candidate: Candidate) -> object:
    created_at = candidate.attempt.customer.account_created_at
    if created_at is UNSET:
        return UNSET
    created_ms = datetime.fromisoformat(created_at).timestamp() * 1_000
    return max(0.0, (candidate.received_ms - created_ms) / DAY_MS)
