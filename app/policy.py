"""From a calibrated probability of fraud to an action, by least expected cost.

With `p` the probability, `L = r (A + F)` what a fraud costs the merchant and `G = m + i` what a
good customer turned away costs:

    approve   p L
    step up   (1 - p) a G + p q L + c
    decline   (1 - p) G

`A` is the amount, `F` the fee, `m` the margin (`margin_rate * A`), `i` the insult cost, `a` the
part of good customers who abandon a challenge, `q` the part of frauds that pass it, `c` its cost,
and `r` is 1, or what remains with the merchant after a liability shift. Each line is linear in
`p`, so the cheapest action changes at most twice:

    step_up   (a G + c) / ((1 - q) L + a G)         step up becomes cheaper than approve
    decline   ((1 - a) G - c) / (q L + (1 - a) G)   decline becomes cheaper than step up
    single    G / (G + L)                           decline becomes cheaper than approve

Where step-up is not available, or its threshold is not below the one of decline (a challenge that
costs more than it saves is never the cheapest), both are `single`, and nothing is stepped up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from app.budget import ClientDefaultCaps, StandInBudget, StandInWeights
from app.documents import DocumentError, read_document
from fallback.rung import Action
from fallback.rungs.tier_default import AmountBand, StandingPolicy

__all__ = [
    "DEFAULT_POLICY",
    "UNKNOWN_TIER",
    "Costs",
    "Overrides",
    "Policy",
    "Thresholds",
    "Tier",
    "load_policy",
]

DEFAULT_POLICY: Final = Path(__file__).parent / "defaults" / "policy.yaml"
"""The policy file of a first day."""

UNKNOWN_TIER: Final = "unknown"
"""The tier of merchants that the directory does not know; every policy has it."""

# the lower and upper ends keep every denominator above 0 and every threshold a number
_Fraction = Annotated[float, Meta(ge=0, le=1)]
_InnerFraction = Annotated[float, Meta(ge=0.001, le=0.999)]
_Cost = Annotated[float, Meta(ge=0, le=1e12)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of fraud from which an attempt is stepped up and declined.

    Equal ones mean that nothing is stepped up.
    """

    step_up: float
    decline: float

    def action(self, probability: float) -> Action:
        """The action at a probability of fraud in [0, 1]."""
        if probability >= self.decline:
            return Action.DECLINE
        if probability >= self.step_up:
            return Action.STEP_UP
        return Action.APPROVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Thresholds that a merchant's directory entry sets instead of the costs; None: not set.

    `decline` holds everywhere; `step_up` holds where step-up is available, and gives way to a
    lower `decline`.
    """

    step_up: float | None = None
    decline: float | None = None

    def __post_init__(self) -> None:
        for threshold in (self.step_up, self.decline):
            if threshold is not None and not 0.0 <= threshold <= 1.0:
                raise ValueError(f"a threshold is in [0, 1], and this is {threshold}")


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decisions cost at a tier; amounts in minor units of the reference currency.

    Attributes:
        fee: paid for a fraud besides the amount (F).
        margin_rate: part of the amount that a good sale earns; times the amount it is m.
        insult_cost: what a good customer turned away costs beyond the sale (i).
        abandonment: part of good customers who give up at a challenge (a).
        challenge_fraud_pass: part of frauds that pass a challenge (q).
        challenge_cost: of one challenge (c).
        liability_residual: part of a fraud's cost that stays after a liability shift (r).
    """

    fee: _Cost
    margin_rate: _Fraction
    insult_cost: Annotated[float, Meta(ge=1, le=1e12)]
    abandonment: _InnerFraction
    challenge_fraud_pass: _Fraction
    challenge_cost: _Cost
    liability_residual: _Fraction

    def thresholds(
        self, amount_ref: int, *, step_up_available: bool, liability_shift: bool
    ) -> Thresholds:
        """The thresholds for one amount >= 0, in closed form: see the top of this file."""
        remaining = self.liability_residual if liability_shift else 1.0
        fraud = remaining * (amount_ref + self.fee)
        insult = self.margin_rate * amount_ref + self.insult_cost
        if step_up_available:
            given_up = self.abandonment * insult
            kept = insult - given_up
            passed = self.challenge_fraud_pass * fraud
            step_up = (given_up + self.challenge_cost) / (fraud - passed + given_up)
            decline = (kept - self.challenge_cost) / (passed + kept)
            if step_up < decline:
                return Thresholds(step_up=step_up, decline=decline)
        single = insult / (insult + fraud)
        return Thresholds(step_up=single, decline=single)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One merchant tier.

    Attributes:
        amount_high: from where on an amount is high, minor units of the reference currency.
        costs: what decisions cost.
        standing: what the tier does while nothing better is known.
        stand_in: what the lower rungs may approve; None for no bound.
        client_default: what a client may approve by itself; None for nothing.
    """

    amount_high: int
    costs: Costs
    standing: StandingPolicy
    stand_in: StandInBudget | None = None
    client_default: ClientDefaultCaps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of one version: tiers by name, `unknown` among them."""

    version: int
    tiers: Mapping[str, Tier]
    standing: Mapping[str, StandingPolicy]
    weights: StandInWeights = field(default_factory=StandInWeights)

    def tier(self, name: str) -> Tier:
        """A tier by name; the `unknown` tier where there is none of this name."""
        return self.tiers[self.tier_name(name)]

    def tier_name(self, name: str) -> str:
        """The name of the tier that a merchant's stands for here."""
        return name if name in self.tiers else UNKNOWN_TIER

    def decide(
        self,
        probability: float,
        *,
        amount_ref: int,
        tier: str,
        step_up_available: bool,
        liability_shift: bool,
        overrides: Overrides | None = None,
    ) -> tuple[Action, Thresholds]:
        """Decide by least expected cost.

        Args:
            probability: calibrated probability of fraud.
            amount_ref: minor units of the reference currency, >= 0.
            tier: the merchant's tier.
            step_up_available: whether the checkout can step up.
            liability_shift: whether the issuer bears a fraud.
            overrides: the merchant's own thresholds.

        Raises:
            ValueError: the probability is not in [0, 1]; a NaN would otherwise be approved.
        """
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"a probability of fraud is in [0, 1], and this is {probability}")
        thresholds = self.tier(tier).costs.thresholds(
            amount_ref, step_up_available=step_up_available, liability_shift=liability_shift
        )
        if overrides is not None:
            thresholds = _overridden(thresholds, overrides, step_up_available)
        return thresholds.action(probability), thresholds


def _overridden(costs: Thresholds, overrides: Overrides, step_up_available: bool) -> Thresholds:
    decline = costs.decline if overrides.decline is None else overrides.decline
    if not step_up_available:
        return Thresholds(step_up=decline, decline=decline)
    step_up = costs.step_up if overrides.step_up is None else overrides.step_up
    return Thresholds(step_up=min(step_up, decline), decline=decline)


class _BandEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    action: Action
    up_to: int | None = None


class _TierEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount_high: Annotated[int, Meta(gt=0)]
    costs: Costs
    standing: tuple[_BandEntry, ...]
    stand_in: StandInBudget | None = None
    client_default: ClientDefaultCaps | None = None


class _PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1)]
    tiers: dict[str, Any]
    stand_in: StandInWeights = StandInWeights()


def load_policy(path: Path) -> Policy:
    """Load a policy file.

    Raises:
        DocumentError: the file or a tier in it cannot be used, or the tier `unknown` is missing.
    """
    document = read_document(path, _PolicyFile)
    tiers = {name: _load_tier(path, name, raw) for name, raw in document.tiers.items()}
    if UNKNOWN_TIER not in tiers:
        raise DocumentError(f"{path}: there must be a tier {UNKNOWN_TIER!r}")
    standing = {name: tier.standing for name, tier in tiers.items()}
    return Policy(
        version=document.version, tiers=tiers, standing=standing, weights=document.stand_in
    )


def _load_tier(path: Path, name: str, raw: Any) -> Tier:
    try:
        entry = msgspec.convert(raw, _TierEntry)
        bands = tuple(AmountBand(up_to=band.up_to, action=band.action) for band in entry.standing)
        standing = StandingPolicy(bands=bands, amount_high=entry.amount_high)
    except ValueError as error:  # a ValidationError among them
        raise DocumentError(f"{path}: tier {name!r}: {error}") from None
    return Tier(
        amount_high=entry.amount_high,
        costs=entry.costs,
        standing=standing,
        stand_in=entry.stand_in,
        client_default=entry.client_default,
    )
