"""What the terminal shows."""

from __future__ import annotations

from rich.console import Console, RenderableType

from regions.world.control import ProcessStatus, WorldStatus
from regions.world.display import decision_table, exposure_table, process_table, rung_table
from regions.world.plan import ProcessState


def text_of(what: RenderableType) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_a_process_is_shown_with_its_state_uptime_and_restarts():
    process = ProcessStatus(
        name="us-east-1/scorer", region="us-east-1", state=ProcessState.READY, pid=4242,
        uptime_s=3_725.0, restarts=2, port=18_000, log="scorer.log", last_exit=-9,
    )  # fmt: skip
    shown = text_of(process_table(WorldStatus(supervisor_pid=1, processes=(process,))))
    for part in ("us-east-1/scorer", "ready", "4242", "1 h 02 min", "2", "18000"):
        assert part in shown


def test_a_decision_without_a_score_is_shown_with_a_dash():
    sample = {
        "name": "gift cards at night", "amount": "420.00 USD", "action": "step_up", "score": None,
        "rung": "rules", "reasons": ["AMOUNT_UNUSUAL", "GIFT_CARDS"], "took_ms": 3.14,
    }  # fmt: skip
    shown = text_of(decision_table([sample]))
    for part in ("step_up", " - ", "rules", "AMOUNT_UNUSUAL, GIFT_CARDS", "3.1 ms"):
        assert part in shown


def test_a_rung_that_cannot_be_served_is_shown_with_its_reason():
    readyz = {"rungs": {"full": {"available": False, "why": "breaker_open"}}, "ages": {}}
    shown = text_of(rung_table("us-east-1", readyz))
    assert "full" in shown
    assert "breaker_open" in shown


def test_a_lower_rung_is_shown_with_how_often_it_decides_as_the_full_one():
    readyz = {
        "rungs": {"full": {"available": True}, "batch": {"available": True}},
        "agreement": {"batch": {"compared": 1_204, "share": 0.9817}},
    }
    assert "98.2% of 1,204" in text_of(rung_table("us-east-1", readyz))


def test_a_model_in_shadow_is_shown_with_how_often_it_decides_as_live():
    readyz = {"rungs": {}, "versions": {"shadow": "abc123"}, "agreement": {}}
    assert "abc123 in shadow, decides as live: none yet" in text_of(rung_table("x", readyz))
    readyz["agreement"] = {"shadow": {"compared": 8, "share": 0.5}}
    assert "abc123 in shadow, decides as live: 50.0% of 8" in text_of(rung_table("x", readyz))


def test_the_bound_of_the_fleet_is_shown_by_tier_in_whole_units():
    tier = {"budget": 10_000_000, "share": 3_333_333, "used": 123_456, "bound": 9_999_999,
            "instrument": 50_000}  # fmt: skip
    exposure = {"hosts": 3, "shared": False, "tiers": {"standard": tier}}
    shown = text_of(exposure_table("us-east-1", {"exposure": exposure}))
    for part in ("3 hosts", "NOT shared", "standard", "100,000.00", "99,999.99", "33,333.33",
                 "1,234.56", "500.00"):  # fmt: skip
        assert part in shown


def test_no_bound_is_shown_where_there_is_none():
    assert exposure_table("us-east-1", None) is None
    assert exposure_table("us-east-1", {"exposure": None}) is None


def test_a_region_that_does_not_answer_is_said_to_be_silent():
    assert rung_table("us-east-1", None) == "us-east-1 does not say which rungs it can serve."
