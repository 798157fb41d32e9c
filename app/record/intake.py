"""Takes outcomes and labels: into the journal first, then the sender hears that it was taken.

They may arrive late, out of order, more than once, and at any region. Each is kept with the home
region of its decision, where its effect is counted once by its id. A correction is a further
event with an id of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.api.problem import Conflict, NotTaken
from app.api.wire import Accepted
from app.event_time import EventTime
from app.ids import locate
from app.record.claims import Claims, ClaimState
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind
from app.record.recorder import Recorder
from app.record.token import body_hash

__all__ = ["Intake"]

TAKEN = b"taken"


class Intake:
    """Takes follow-ups in one process."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        claims: Mapping[Kind, Claims],
        regions: Mapping[int, str],
        region: int,
        time: EventTime,
    ) -> None:
        """Make the intake.

        Args:
            recorder: of this process.
            claims: on the senders' ids, by kind.
            regions: names by number.
            region: number of this region.
            time: of receipts.
        """
        self._recorder = recorder
        self._claims = claims
        self._regions = regions
        self._region = region
        self._time = time

    async def take(
        self,
        kind: Kind,
        *,
        tenant: str,
        id: str,
        decision_id: str | None,
        attempt_id: str | None,
        canonical: bytes,
        said_at: str | None = None,
    ) -> Accepted:
        """Keep one outcome or label.

        Args:
            kind: which of the two.
            tenant: whose it is.
            id: the sender's.
            decision_id: of the decision, where the sender named it; checked.
            attempt_id: of the attempt, where the sender named it.
            canonical: its canonical bytes.
            said_at: when the sender says it happened or arrived; the time in a replay only.

        Raises:
            Conflict: the id was used before, for another body.
            NotTaken: the journal takes nothing; the sender must send it again.
        """
        # An attempt without its decision's id was decided where the sender calls: here.
        home = self._region if decision_id is None else locate(decision_id).region
        identity = body_hash(canonical)
        claims = self._claims[kind]
        claim = await claims.claim(tenant, id, identity)
        if claim.state is ClaimState.OTHER_BODY:
            raise Conflict(f"This {kind.name.lower()}_id was sent before with another body.")
        duplicate = claim.state is ClaimState.ANSWERED
        if not duplicate:
            follow_up = FollowUp(
                tenant=tenant,
                id=id,
                home=home,
                received_ms=self._time.received_ms(said_at),
                decision_id=decision_id,
                attempt_id=attempt_id,
                body=canonical,
            )
            if not self._recorder.append(kind, encode_follow_up(follow_up)):
                raise NotTaken(
                    "The journal takes nothing now; send it again.",
                    headers=[(b"retry-after", b"5")],
                )
            claims.settle(tenant, id, identity, TAKEN)
        return Accepted(
            id=id, duplicate=duplicate, home_region=self._regions.get(home, f"number {home}")
        )
