"""What a scorer is without its protections: controls, by which a drill is seen to fail.

A drill that passes says little until the same drill has failed without what it is about. The
setting `weakened` takes one protection out, in the development profile alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Never

from app.candidate import Candidate
from fallback.breaker import BreakerPolicy
from fallback.rung import RungName

__all__ = ["NoRung", "never_opens"]

# More calls than any window will see.
CALLS_NEVER = 2**62


def never_opens(policy: BreakerPolicy) -> BreakerPolicy:
    """The same breaker, which counts and never opens."""
    return replace(policy, minimum_calls=CALLS_NEVER)


class NoRung:
    """In the place of the last rung: where the full rung has no answer, nothing has."""

    name = RungName.TIER_DEFAULT

    def assess(self, attempt: Candidate) -> Never:  # noqa: ARG002 - it looks at nothing
        """Answer nothing.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("the rungs below the full one are taken out, for a drill")
