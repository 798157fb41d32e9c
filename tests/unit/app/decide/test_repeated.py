"""An attempt that was sent before."""

from __future__ import annotations

import msgspec
import pytest

from app.api.problem import Conflict
from app.api.wire import Decision
from app.record.claims import Claim, ClaimState


async def test_the_answer_is_left_with_the_claim_for_a_repeat(pipeline):
    answer = await pipeline.decide()
    (((tenant, id, identity), kept),) = pipeline.claims.settled
    assert (tenant, id, len(identity)) == ("acme", "a1", 16)
    assert msgspec.json.decode(kept, type=Decision) == answer


async def test_a_repeat_gets_the_answer_given_before_and_is_not_recorded_again(pipeline):
    first = await pipeline.decide()
    pipeline.claims.says = Claim(ClaimState.ANSWERED, msgspec.json.encode(first))
    assert await pipeline.decide() == first
    assert len(pipeline.records.kept) == 1
    assert pipeline.telemetry.counters["claims\0answered"] == 1


async def test_an_answer_that_this_release_cannot_read_is_decided_anew(pipeline):
    pipeline.claims.says = Claim(ClaimState.ANSWERED, b"{}")
    assert (await pipeline.decide()).rung == "full"


async def test_the_same_id_with_another_body_is_a_conflict(pipeline):
    pipeline.claims.says = Claim(ClaimState.OTHER_BODY)
    with pytest.raises(Conflict, match="another body"):
        await pipeline.decide()
    assert not pipeline.records.kept


@pytest.mark.parametrize("state", [ClaimState.PENDING, ClaimState.UNKNOWN])
async def test_what_was_not_answered_yet_is_decided(pipeline, state):
    pipeline.claims.says = Claim(state)
    assert (await pipeline.decide()).action
    assert pipeline.telemetry.counters[f"claims\0{state}"] == 1


async def test_a_claim_that_does_not_come_back_costs_no_answer(pipeline):
    pipeline.claims.slow = True
    assert (await pipeline.decide()).action
    assert pipeline.telemetry.counters["claims\0unknown"] == 1
