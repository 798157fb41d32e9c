"""How much more than one try an attempt may cost: token buckets that requests fill.

    tokens = min(burst, tokens + share)   at each request
    tokens = tokens - 1                   at each extra try, if there is a whole one

So among any n requests at most `share * n + burst` extra tries are made: with 5 % for hedges, 10 %
for retries and a burst that is small beside the traffic, amplification stays below 1.2, however
many of the requests fail. The burst is what the first moments of an outage may take, until the dead
region is ejected; a bucket starts full.

Source: the retry throttling of gRPC (A6) and the budgets of Finagle, in shares of requests.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """A budget of extra tries.

    Attributes:
        taken: tokens taken in all.
        refused: how often there was none.
    """

    def __init__(self, *, share: float, burst: float) -> None:
        """Make a full bucket.

        Args:
            share: tokens for each request, in [0, 1].
            burst: the most it holds, >= 0.
        """
        if not 0 <= share <= 1 or burst < 0:
            raise ValueError(f"a share in [0, 1] and a burst from 0, not {share} and {burst}")
        self._share = share
        self._burst = burst
        self._tokens = burst
        self.taken = 0
        self.refused = 0

    def request(self) -> None:
        """A request came: the bucket gets its share."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def take(self) -> bool:
        """Take a token for one extra try. Returns whether there was one."""
        # Shares are binary fractions: ten of .1 are a hair below 1.
        if self._tokens < 1 - 1e-9:
            self.refused += 1
            return False
        self._tokens = max(0.0, self._tokens - 1)
        self.taken += 1
        return True
