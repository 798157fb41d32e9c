"""The routing document: what a client needs to find regions and to stand in for them, signed.

    payload    JSON: regions with weights, standing policy and caps by tier, rates, answer key
    signature  Ed25519 over the SHA-256 of the payload, by the key that signs the journals

It is made for one tenant at the moment it is asked for, so that it always says what is in force.
Its version is that of the weights (`app.weights`), which clients refuse to go back from.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from app.features.directory import Directory
from app.money import Rates
from app.policy import UNKNOWN_TIER, Policy, Tier
from app.record.signing import Signer, key_id
from app.weights import WEIGHT_MAX, Weights

__all__ = [
    "MERCHANTS_MAX",
    "Routing",
    "RoutingSource",
    "SignedRouting",
]

MERCHANTS_MAX = 100
LIFE_S = 3_600
DOMAIN = b"stepdown routing v1\n"


class RegionRoute(Struct, frozen=True, kw_only=True):
    """One region: where it is, and how much of its clients' attempts it takes, percent."""

    endpoint: str
    weight: int


class Band(Struct, frozen=True, kw_only=True):
    """An action for amounts up to and including `up_to`; None: for all above."""

    up_to: int | None
    action: Literal["approve", "step_up", "decline"]


class TierStanding(Struct, frozen=True, kw_only=True):
    """What a client does at a tier while no region answers.

    Attributes:
        bands: by amount, ascending, minor units of the reference currency.
        attempt_max: the most it approves of one attempt.
        hourly_max: the most it approves within an hour.
    """

    bands: list[Band]
    attempt_max: int
    hourly_max: int


class Routing(Struct, frozen=True, kw_only=True):
    """The payload.

    Attributes:
        tenant: whose it is.
        version: of the weights; 0 before any were set.
        issued_at: seconds since the epoch.
        expires_at: from when a client should have had a newer one.
        regions: by name, in the order to try them in before any is measured.
        policy_version: of the policy that `tiers` is taken from.
        rates: reference minor units per minor unit, by currency.
        tiers: those that the merchants below have, and `unknown`.
        merchants: tier by merchant, of those that were asked for and are listed.
        answer_key: what answers to the tenant are signed with, base64url; a secret of the tenant's.
    """

    v: int = 1
    tenant: str
    version: int
    issued_at: int
    expires_at: int
    regions: dict[str, RegionRoute]
    policy_version: int
    rates: dict[str, float]
    tiers: dict[str, TierStanding]
    merchants: dict[str, str]
    answer_key: str


class SignedRouting(Struct, frozen=True, kw_only=True):
    """The document as served: the payload as text, so that what is signed is what is read."""

    payload: str
    key: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSource:
    """Makes routing documents of what is in force in this process.

    Attributes:
        endpoints: address by region.
        weights: as operators set them; None before they did.
        policy: in force.
        rates: in force.
        directory: of merchants; None for none.
        answer_key: gives a tenant's.
        signer: the key that signs.
        now_ms: wall clock, ms since the epoch.
    """

    endpoints: Mapping[str, str]
    weights: Callable[[], Weights | None]
    policy: Callable[[], Policy]
    rates: Callable[[], Rates]
    directory: Callable[[], Directory | None]
    answer_key: Callable[[str], bytes]
    signer: Signer
    now_ms: Callable[[], int]

    def signed(self, tenant: str, merchants: Sequence[str]) -> SignedRouting:
        """A tenant's document, with the tiers of some of its merchants."""
        payload = msgspec.json.encode(self._routing(tenant, merchants))
        signature = self.signer.sign(DOMAIN + hashlib.sha256(payload).digest())
        return SignedRouting(
            payload=payload.decode(),
            key=key_id(self.signer.public_key),
            signature=base64.urlsafe_b64encode(signature).decode("ascii"),
        )

    def _routing(self, tenant: str, merchants: Sequence[str]) -> Routing:
        weights, policy, now_s = self.weights(), self.policy(), self.now_ms() // 1_000
        of_region = {} if weights is None else weights.weights
        tiers = self._tiers_of(tenant, merchants, policy)
        return Routing(
            tenant=tenant,
            version=0 if weights is None else weights.version,
            issued_at=now_s,
            expires_at=now_s + LIFE_S,
            regions={
                name: RegionRoute(endpoint=endpoint, weight=of_region.get(name, WEIGHT_MAX))
                for name, endpoint in self.endpoints.items()
            },
            policy_version=policy.version,
            rates=self.rates().factors,
            tiers={
                name: _standing(policy.tiers[name])
                for name in sorted({UNKNOWN_TIER, *tiers.values()})
            },
            merchants=tiers,
            answer_key=base64.urlsafe_b64encode(self.answer_key(tenant)).decode("ascii"),
        )

    def _tiers_of(self, tenant: str, merchants: Sequence[str], policy: Policy) -> dict[str, str]:
        directory = self.directory()
        if directory is None:
            return {}
        entries = {merchant: directory.get(tenant, merchant) for merchant in merchants}
        return {
            merchant: policy.tier_name(entry.tier)
            for merchant, entry in entries.items()
            if entry is not None
        }


def _standing(tier: Tier) -> TierStanding:
    """A tier's standing policy with its caps; without caps a client approves nothing there."""
    caps = tier.client_default
    return TierStanding(
        bands=[Band(up_to=band.up_to, action=band.action.value) for band in tier.standing.bands],
        attempt_max=-1 if caps is None else caps.attempt_max,
        hourly_max=-1 if caps is None else caps.hourly_max,
    )
