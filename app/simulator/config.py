"""What a simulated world is made from: one frozen, validated object."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["PatternMix", "RegionMix", "SimulatorConfig"]

_ATTEMPTS_PER_CUSTOMER = 14
_ATTEMPTS_PER_MERCHANT = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionMix:
    """One region's share of the traffic.

    Attributes:
        name: the region's name on the wire.
        weight: its share, relative to the other regions'.
        countries: ISO 3166-1 alpha-2 codes whose home region it is, busiest first.
        utc_offset_h: hours from UTC to the shoppers' local time.
    """

    name: str
    weight: float
    countries: tuple[str, ...]
    utc_offset_h: int

    def __post_init__(self) -> None:
        """Raise ValueError for a region that could not have traffic."""
        if self.weight <= 0:
            raise ValueError(f"the weight of region {self.name!r} must be above 0")
        if not self.countries:
            raise ValueError(f"region {self.name!r} needs at least one home country")
        if not -12 <= self.utc_offset_h <= 14:
            raise ValueError(f"utc_offset_h of region {self.name!r} must be from -12 to 14")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternMix:
    """How the fraudulent attempts divide into patterns; the shares add up to 1.

    `new_pattern_from` of the settings adds a further pattern; it has no share here.
    """

    card_testing: float = 0.16
    stolen_card: float = 0.26
    merchant_compromise: float = 0.28
    account_takeover: float = 0.12
    device_farm: float = 0.10
    friendly_fraud: float = 0.08

    def __post_init__(self) -> None:
        """Raise ValueError unless the shares are a division of the whole."""
        shares = asdict(self).values()
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError("the shares of the fraud patterns must be 0 or more and add up to 1")

    def with_shares(self, chosen: Mapping[str, float]) -> PatternMix:
        """Set some shares; the others keep their proportions and fill up to 1.

        Raises:
            ValueError: a pattern is not known, or the shares cannot add up to 1.
        """
        shares = asdict(self)
        for name in chosen:
            if name not in shares:
                raise ValueError(
                    f"there is no fraud pattern {name!r}; there are {', '.join(shares)}"
                )
        others = sum(share for name, share in shares.items() if name not in chosen)
        left = 1 - sum(chosen.values())
        if left > 1e-9 and others == 0:
            raise ValueError("the shares of the fraud patterns must be 0 or more and add up to 1")
        scale = max(left, 0) / others if others else 0.0
        return PatternMix(**{name: share * scale for name, share in shares.items()} | dict(chosen))


_THREE_REGIONS = (
    RegionMix(name="us-east-1", weight=0.45, countries=("US", "CA", "MX"), utc_offset_h=-5),
    RegionMix(
        name="eu-west-1", weight=0.35, countries=("GB", "DE", "FR", "ES", "NL"), utc_offset_h=1
    ),
    RegionMix(
        name="ap-southeast-1", weight=0.20, countries=("SG", "AU", "JP", "ID"), utc_offset_h=8
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """The settings of one simulation.

    Attributes:
        seed: every random draw follows from it.
        start: first day, UTC.
        days: length, 1 to 730.
        attempts: how many attempts to aim at, genuine and fraudulent; met within a few percent.
        regions: the regions and their home countries.
        merchants: number of merchants, at least 20; None derives it from `attempts`.
        customers: number of customers, at least 100; None derives it from `attempts`.
        fraud_share: share of fraudulent attempts, 0 to 0.2.
        patterns: how the fraud divides.
        new_pattern_from: day, counted from 1, on which a pattern begins that was never there
            before; None for none.
        new_pattern_share: attempts of the new pattern a day, as a share of those of all the
            other fraud, above 0 and at most 1.
        newcomers: fraud reaches merchants and customers as soon as they are there, and issuers
            launch number ranges; without it all fraud is among those of before the first day.
    """

    seed: int = 7
    start: dt.date = dt.date(2026, 7, 1)
    days: int = 60
    attempts: int = 300_000
    regions: tuple[RegionMix, ...] = _THREE_REGIONS
    merchants: int | None = None
    customers: int | None = None
    fraud_share: float = 0.004
    patterns: PatternMix = field(default_factory=PatternMix)
    new_pattern_from: int | None = None
    new_pattern_share: float = 0.15
    newcomers: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError, in one sentence, for the first setting out of its range."""
        names = [region.name for region in self.regions]
        countries = [country for region in self.regions for country in region.countries]
        problems = (
            (self.seed < 0, "seed must be 0 or more"),
            (not 1 <= self.days <= 730, "days must be from 1 to 730"),
            (self.attempts < 1_000, "attempts must be 1000 or more"),
            (not self.regions, "regions must name at least one region"),
            (len(set(names)) < len(names), "regions must have different names"),
            (len(set(countries)) < len(countries), "a country can have only one home region"),
            (self.merchant_count < 20, "merchants must be 20 or more"),
            (self.customer_count < 100, "customers must be 100 or more"),
            (not 0 <= self.fraud_share <= 0.2, "fraud_share must be from 0 to 0.2"),
            (
                not 1 <= (self.new_pattern_from or 1) <= self.days or self.new_pattern_from == 0,
                f"new_pattern_from must be from 1 to {self.days}, the last day",
            ),
            (not 0 < self.new_pattern_share <= 1, "new_pattern_share must be above 0, at most 1"),
        )
        for wrong, sentence in problems:
            if wrong:
                raise ValueError(sentence)

    @property
    def merchant_count(self) -> int:
        """Number of merchants, derived from `attempts` where it is not set."""
        derived = max(100, self.attempts // _ATTEMPTS_PER_MERCHANT)
        return derived if self.merchants is None else self.merchants

    @property
    def customer_count(self) -> int:
        """Number of customers, derived from `attempts` where it is not set."""
        derived = max(500, self.attempts // _ATTEMPTS_PER_CUSTOMER)
        return derived if self.customers is None else self.customers

    @property
    def start_ms(self) -> int:
        """The first midnight, UTC milliseconds since 1970."""
        return (self.start - dt.date(1970, 1, 1)).days * 86_400_000

    @property
    def end_ms(self) -> int:
        """The midnight after the last day, UTC milliseconds since 1970."""
        return self.start_ms + self.days * 86_400_000

    @property
    def new_pattern_ms(self) -> int:
        """The midnight that the new pattern begins at, or the end where there is none, UTC ms."""
        if self.new_pattern_from is None:
            return self.end_ms
        return self.start_ms + (self.new_pattern_from - 1) * 86_400_000
