"""What the terminal shows."""

from __future__ import annotations

import re

import msgspec
from rich.console import Console, RenderableType

from regions.world.control import ProcessStatus, WorldStatus
from regions.world.display import (
    agreement_table,
    decision_table,
    exposure_table,
    process_matrix,
    process_table,
    rung_table,
    source_table,
)
from regions.world.overview import LinkSeen, Overview, Replica
from regions.world.plan import Link, ProcessState


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


def test_a_rung_that_cannot_be_served_is_shown_with_its_reason_for_each_region():
    away = {"rungs": {"full": {"available": False, "why": "breaker_open"}}}
    well = {"rungs": {"full": {"available": True, "why": None}}}
    shown = text_of(rung_table({"us-east-1": away, "eu-west-1": well, "ap-southeast-1": None}))
    for part in ("no: breaker_open", "yes", "does not say"):
        assert part in shown


def test_a_lower_rung_is_shown_with_how_often_it_decides_as_the_full_one():
    readyz = {
        "rungs": {"full": {"available": True}, "batch": {"available": True}},
        "agreement": {"batch": {"compared": 1_204, "share": 0.9817}},
    }
    assert "98.2% of 1,204" in text_of(agreement_table({"us-east-1": readyz, "eu-west-1": None}))


def test_before_anything_was_compared_nothing_is_shown():
    assert agreement_table({"us-east-1": {"agreement": {}}, "eu-west-1": None}) is None


def test_the_bound_of_the_fleet_is_shown_by_tier_in_whole_units():
    tier = {"budget": 10_000_000, "share": 3_333_333, "used": 123_456, "bound": 9_999_999,
            "instrument": 50_000}  # fmt: skip
    exposure = {"hosts": 3, "shared": False, "tiers": {"standard": tier}}
    shown = text_of(exposure_table({"us-east-1": {"exposure": exposure}, "eu-west-1": None}))
    for part in ("3 hosts", "NOT shared by the workers of us-east-1", "standard", "100,000.00",
                 "99,999.99", "33,333.33", "1,234.56", "500.00"):  # fmt: skip
        assert part in shown


def test_of_several_regions_the_most_that_one_used_is_shown():
    tier = {"budget": 3_000, "share": 1_000, "used": 0, "bound": 3_000, "instrument": 500}
    said = {
        region: {"exposure": {"hosts": 3, "shared": True, "tiers": {"new": {**tier, "used": used}}}}
        for region, used in (("us-east-1", 100), ("eu-west-1", 700))
    }
    shown = text_of(exposure_table(said))
    assert "used at most" in shown
    assert "7.00" in shown


def test_no_bound_is_shown_where_there_is_none():
    assert exposure_table({"us-east-1": None}) is None
    assert exposure_table({"us-east-1": {"exposure": None}}) is None


def process(name, region, state=ProcessState.READY, pid=4242, restarts=0):
    return ProcessStatus(
        name=name, region=region, state=state, pid=pid, uptime_s=1.0, restarts=restarts,
        port=None, log=f"{name}.log", last_exit=None,
    )  # fmt: skip


def test_the_processes_of_several_regions_are_shown_side_by_side():
    status = WorldStatus(
        supervisor_pid=1,
        processes=(
            process("network/toxiproxy", "", pid=11),
            process("us-east-1/scorer", "us-east-1", pid=12),
            process("eu-west-1/scorer", "eu-west-1", state=ProcessState.HELD, pid=None, restarts=3),
        ),
    )
    lines = text_of(process_matrix(status)).splitlines()
    scorers = next(line for line in lines if "scorer" in line)
    assert re.search(r"12 .*held, 3 restarts", scorers)
    assert [line.count("11") for line in lines if "toxiproxy" in line] == [1]


OVERVIEW = Overview(
    status=WorldStatus(
        supervisor_pid=1,
        processes=(
            process("us-east-1/scorer", "us-east-1"),
            process("eu-west-1/scorer", "eu-west-1", state=ProcessState.BACKOFF),
        ),
    ),
    regions={
        "us-east-1": {
            "rungs": {"full": {"available": True, "why": None}},
            "sources": {"us-east-1": None, "eu-west-1": "features_stale"},
            "ages": {"counters:us-east-1": 0.42, "counters:eu-west-1": 34.4},
            "breakers": {"source:eu-west-1/0": "open"},
        },
        "eu-west-1": None,
    },
    replicas=(
        Replica(
            name="us-east-1/replica-eu-west-1", reader="us-east-1", source="eu-west-1",
            link="down", behind_bytes=None,
        ),
    ),
    links=(
        LinkSeen(
            link=Link(
                name="replication:us-east-1:eu-west-1:0", carries="replication", near="us-east-1",
                far="eu-west-1", listen=1, upstream=2, latency_ms=40.0,
            ),
            through="proxy", state="cut",
        ),
    ),
)  # fmt: skip


def test_a_cut_link_is_shown_with_the_age_of_what_it_keeps_away():
    shown = text_of(source_table(OVERVIEW))
    own, other = [line for line in shown.splitlines() if "us-east-1 " in line]
    for part in ("0.42 s", "own"):
        assert part in own
    for part in ("34.40 s: features_stale", "down", "cut"):
        assert part in other


def test_what_is_wrong_is_said_in_sentences():
    assert OVERVIEW.problems() == [
        "eu-west-1 does not say which rungs it can serve.",
        "us-east-1 does without the counters of eu-west-1: features_stale (34 s old).",
        "us-east-1: breaker source:eu-west-1/0 is open.",
        "eu-west-1/scorer is backoff; its log is eu-west-1/scorer.log",
        "us-east-1/replica-eu-west-1 does not follow its primary in eu-west-1.",
        "the link replication:us-east-1:eu-west-1:0 is cut.",
    ]


def test_a_link_with_its_latency_is_shown_by_its_round_trip():
    up = msgspec.structs.replace(OVERVIEW.links[0], state="up")
    slow = msgspec.structs.replace(up, toxics=("bandwidth",))
    assert "80 ms" in text_of(source_table(msgspec.structs.replace(OVERVIEW, links=(up,))))
    shown = text_of(source_table(msgspec.structs.replace(OVERVIEW, links=(slow,))))
    assert "80 ms, bandwidth" in shown
