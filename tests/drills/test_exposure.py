"""What lower rungs approve stays within the printed bound; without one it would not."""

import pytest

from chaos.exposure import run_exposure
from regions.world.settings import WorldSettings

BUDGET = 60_000


@pytest.mark.parametrize("bounded", [True, False])
def test_two_hosts_on_lower_rungs_approve_no_more_than_the_budget_that_they_have(
    trained, port_base, bounded
):
    found = run_exposure(
        trained,
        WorldSettings(home=trained, port_base=port_base),
        rate=30,
        hold_s=4.0,
        budget=BUDGET,
        bounded=bounded,
    )
    assert (found.unanswered, found.unsettled) == (0, [])
    assert {"rules", "tier_default"} <= found.rungs.keys()
    past = [name for name, tier in found.tiers.items() if tier.approved > BUDGET]
    if bounded:
        assert found.passed, found
        assert past == []
        assert any(tier.withheld for tier in found.tiers.values())
    else:
        assert not found.within, found
        assert past, "the load is one that a budget has to hold back"
        assert found.instrument_excess > 0
