"""The `rules` rung: the rule file and the hot lists in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from fallback.deadline import Deadline
from fallback.errors import RulesUnavailable
from fallback.predicate import Inputs
from fallback.rules import RuleSet
from fallback.rung import Assessment, RungName

__all__ = ["RulesRung"]

AttemptT = TypeVar("AttemptT")


class RulesRung(Generic[AttemptT]):
    """Assesses an attempt by the current rule set; microseconds, no I/O, no score."""

    def __init__(
        self, *, rules: Callable[[], RuleSet | None], inputs_of: Callable[[AttemptT], Inputs]
    ) -> None:
        """Bind the rung to its rule set and inputs.

        Args:
            rules: gives the rule set in force, which a reload may change; None where none is.
            inputs_of: gives an attempt's inputs by name.
        """
        self._rules = rules
        self._inputs_of = inputs_of

    @property
    def name(self) -> RungName:
        """The rung's name on the wire."""
        return RungName.RULES

    async def assess(
        self,
        attempts: Sequence[AttemptT],
        deadline: Deadline,  # noqa: ARG002  # rules cost microseconds: they fit any deadline
    ) -> list[Assessment | Exception]:
        """Assess attempts, each by itself.

        Raises:
            RulesUnavailable: there is no rule set.
        """
        rule_set = self._rules()
        if rule_set is None:
            raise RulesUnavailable("no rule set is loaded")
        return [self._assessed(rule_set, attempt) for attempt in attempts]

    def _assessed(self, rule_set: RuleSet, attempt: AttemptT) -> Assessment | Exception:
        try:
            fired = rule_set.evaluate(self._inputs_of(attempt))
        except Exception as error:  # noqa: BLE001 - of this attempt, not of the others
            return error
        return Assessment(
            score=None,
            action=fired.action,
            ranking=fired.ranking,
            reason_codes=fired.reasons,
            detail={
                "rules_version": rule_set.version,
                "rules": fired.rules,
                "rules_undefined": fired.undefined,
            },
        )
