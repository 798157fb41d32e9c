"""The most that the brake lets through of one card, from the rule file and what each worker sees.

A brake is a worker's own: it counts the attempts that this worker got, and knows of no other. With
`k` the smallest count of a card's attempts at which a rule no longer approves, a worker approves
at most `k - 1` within the brake's window, so that

    bound = (k - 1) * workers of a region * regions

for attempts that all fall into one window (10 s), or that never pause: attempts that are not
approved count as well, so a card that goes on at a higher rate than `k - 1` a window and worker
gets nothing more. It is reached when the attempts are spread over all workers.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from app.errors import OperatorError

__all__ = ["bound_of", "card_limit"]

_CARD = re.compile(r"^\s*velocity\.card_10s\s*>=\s*(\d+)\s*$")


def card_limit(rules: Path) -> int:
    """The smallest count of a card's attempts at which a rule no longer approves.

    Args:
        rules: a rule file.

    Raises:
        OperatorError: it cannot be read, or no rule stops a card by its count alone.
    """
    try:
        document = yaml.safe_load(rules.read_text("utf-8"))
        found = [
            int(match[1])
            for rule in document["rules"]
            if rule["then"] != "approve" and (match := _CARD.match(rule["when"]))
        ]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise OperatorError(f"{rules} cannot be read as a rule file ({error!r}).") from None
    if not found:
        raise OperatorError(f"{rules} has no rule 'velocity.card_10s >= N' that stops a card.")
    return min(found)


def bound_of(limit: int, *, workers: int, regions: int) -> int:
    """The formula above.

    Args:
        limit: `k`.
        workers: of each region.
        regions: that the card's attempts go to.
    """
    return (limit - 1) * workers * regions
