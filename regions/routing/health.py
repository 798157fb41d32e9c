"""Health checks as Route 53 counts them: a checker's streak, the checkers' vote, what follows.

    a checker   changes its word after `failure_threshold` probes in a row that contradict it
    a check     is healthy if MORE than 18 % of its checkers say so
    inverted    the vote turned round: for the switch that is there to turn a region red
    calculated  healthy if at least so many of its children are

18 % keeps a region in while one corner of the network alone cannot reach it. A check that has not
been probed yet counts as healthy, inverted or not: an answer is better than none. Nothing here
knows a clock or a socket.

Source: Amazon Route 53 Developer Guide, "How Amazon Route 53 determines whether a health check is
healthy". There a new inverted check counts as unhealthy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

__all__ = ["Check", "CheckRule", "Checker", "RegionChecks", "calculated", "observed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRule:
    """How a check is made.

    Attributes:
        interval_s: seconds between two probes of one checker: 10 (fast) or 30 on Route 53.
        failure_threshold: probes in a row that change a checker's word, either way; 1 to 10.
        checkers: how many look, each for itself; at least 1.
        healthy_share: a check is healthy if more than this share of the checkers say so.
    """

    interval_s: float = 10.0
    failure_threshold: int = 3
    checkers: int = 3
    healthy_share: float = 0.18

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError("the interval of a health check must be above 0 s")
        if not 1 <= self.failure_threshold <= 10:
            raise ValueError("the failure threshold must be between 1 and 10")
        if self.checkers < 1:
            raise ValueError("a health check needs at least one checker")
        if not 0 <= self.healthy_share < 1:
            raise ValueError("the healthy share must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """What one checker says.

    Attributes:
        passing: its word; None before its first probe.
        against: probes in a row that contradict it.
    """

    passing: bool | None = None
    against: int = 0


def observed(checker: Checker, passed: bool, failure_threshold: int) -> Checker:
    """The checker after one more probe; the first one is believed at once."""
    if checker.passing is None:
        return Checker(passing=passed)
    if passed == checker.passing:
        return replace(checker, against=0)
    if checker.against + 1 >= failure_threshold:
        return Checker(passing=passed)
    return replace(checker, against=checker.against + 1)


@dataclass(slots=True, kw_only=True)
class Check:
    """One health check.

    Attributes:
        rule: how it is made.
        inverted: healthy while the probes fail.
        starting: a checker's very first pass is believed at once, since what is being started
            fails until it is there.
        checkers: one state for each checker.
    """

    rule: CheckRule
    inverted: bool = False
    starting: bool = False
    checkers: list[Checker] = field(init=False)
    _passed: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.checkers = [Checker() for _ in range(self.rule.checkers)]

    def tell(self, checker: int, passed: bool) -> None:
        """Take one probe's result."""
        first_pass = passed and checker not in self._passed
        before = Checker() if self.starting and first_pass else self.checkers[checker]
        self.checkers[checker] = observed(before, passed, self.rule.failure_threshold)
        if passed:
            self._passed.add(checker)

    @property
    def healthy(self) -> bool:
        """The check's verdict."""
        told = [one.passing for one in self.checkers if one.passing is not None]
        if not told:
            return True
        return (sum(told) / len(told) > self.rule.healthy_share) != self.inverted


def calculated(children: Sequence[bool], *, needed: int) -> bool:
    """A check over others: healthy if at least `needed` of them are."""
    return sum(children) >= needed


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionChecks:
    """The checks of one region.

    Attributes:
        endpoint: whether its API answers.
        switch: inverted; its probes pass while an operator has the region switched out.
    """

    endpoint: Check
    switch: Check

    @classmethod
    def under(cls, rule: CheckRule) -> RegionChecks:
        """Fresh checks."""
        return cls(endpoint=Check(rule=rule, starting=True), switch=Check(rule=rule, inverted=True))

    @property
    def healthy(self) -> bool:
        """What the region's record follows: a calculated check that needs both."""
        return calculated((self.endpoint.healthy, self.switch.healthy), needed=2)
