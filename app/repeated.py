"""What was answered when the same attempt was sent before."""

from __future__ import annotations

import msgspec

from app.api.problem import Conflict
from app.api.wire import Decision
from app.record.claims import Claim, ClaimState
from app.record.made import Answered
from app.telemetry import Telemetry

__all__ = ["CLAIM_MS_MAX", "KEEP_MS", "answered_before"]

# A claim travels with the counters; where those were not read it may need a moment more.
CLAIM_MS_MAX, KEEP_MS = 30.0, 5.0

_decode = msgspec.json.Decoder(Decision).decode


def answered_before(claim: Claim, telemetry: Telemetry) -> Answered | None:
    """The answer to an earlier sending of the attempt; None where it is to be decided.

    Args:
        claim: on the attempt's id.
        telemetry: counts what is no new attempt.

    Raises:
        Conflict: the attempt id was used before, for another body.
    """
    if claim.state is ClaimState.NEW:
        return None
    telemetry.count("claims", claim.state)
    if claim.state is ClaimState.OTHER_BODY:
        raise Conflict("This attempt_id was sent before with another body.")
    if claim.answer is None:
        return None
    try:
        return Answered(_decode(claim.answer), claim.answer)
    except msgspec.MsgspecError:  # of a release with another answer: decided anew
        return None
