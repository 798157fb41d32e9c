"""A payment attempt with everything about it that is known without asking anyone."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

import msgspec
from msgspec import UNSET

from app.api.wire import Attempt, as_datetime
from app.features.directory import MerchantEntry
from app.features.spec import DAY_MS, Entity
from app.policy import UNKNOWN_TIER

__all__ = ["Candidate", "entity_ids"]

_ID_OF = {
    Entity.CARD: "instrument.token",
    Entity.CUSTOMER: "customer.id",
    Entity.MERCHANT: "merchant.id",
    Entity.TERMINAL: "merchant.terminal_id",
    Entity.DEVICE: "device.id",
    Entity.IP: "network.ip_hash",
    Entity.EMAIL: "customer.email_hash",
    Entity.BIN: "instrument.bin",
}
_ids = attrgetter(*_ID_OF.values())


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What the ladder assesses.

    Attributes:
        attempt: as the caller sent it, checked.
        tenant: whose attempt it is.
        received_ms: receipt, ms since the epoch.
        amount_ref: amount in the reference currency's minor units; None without a rate.
        merchant: the directory's entry; None for a merchant that is not listed.
        ids: id by entity, for counters and snapshot.
        velocity: attempts of card, device and IP in this process over the last seconds.
        retry: how often the caller tried before.
    """

    attempt: Attempt
    tenant: str
    received_ms: int
    amount_ref: int | None
    merchant: MerchantEntry | None
    ids: Mapping[Entity, str]
    velocity: Mapping[Entity, int]
    retry: int = 0

    @property
    def tier(self) -> str:
        """The merchant's tier, from the directory only."""
        return UNKNOWN_TIER if self.merchant is None else self.merchant.tier

    @property
    def account_age_days(self) -> float | None:
        """Age of the customer's account, >= 0; None where the caller did not say."""
        created_at = self.attempt.customer.account_created_at
        if created_at is UNSET:
            return None
        created_ms = as_datetime(created_at).timestamp() * 1_000
        return max(0.0, (self.received_ms - created_ms) / DAY_MS)


def entity_ids(attempt: Attempt) -> dict[Entity, str]:
    """The ids of an attempt by entity; entities that were not sent are left out."""
    ids = _ids(attempt)
    if UNSET in ids:
        return {entity: id for entity, id in zip(_ID_OF, ids, strict=True) if id is not UNSET}
    return dict(zip(_ID_OF, ids, strict=True))
