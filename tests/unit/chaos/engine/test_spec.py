"""A drill is read strictly: a slip of the pen must not make it milder."""

from __future__ import annotations

import pytest

from app.errors import OperatorError
from chaos.engine.primitives import PRIMITIVES
from chaos.engine.running import Options, shaped
from chaos.engine.spec import decode_drill, find_drills, load_drills

DRILL = """\
name = "one"
title = "t"
rows = [37]
hypothesis = "h"
fis = "f"
load = "client"
rate = 100.0
phases = 10
hold_s = 5.0
recovery_s = 10.0
rungs = { full = 0.9 }

[[faults]]
do = "region_killed"
"""


@pytest.fixture
def decoded(tmp_path):
    def decode(text, name="one"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return decode_drill(path)

    return decode


def test_every_drill_that_is_kept_can_be_read():
    drills = load_drills()
    assert {"region-killed", "region-mute", "region-grey", "all-regions-down"} <= drills.keys()
    assert any(drill.smoke for drill in drills.values())


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('do = "region_killed"', 'do = "region_tickled"', "there is no fault 'region_tickled'"),
        ("hold_s = 5.0", "hold_s = 5.0\nholds = 1", "unknown field `holds`"),
        ("rows = [37]", "rows = [51]", "<= 50"),
        ("rate = 100.0", "rate = 0", ">= 1"),
        ('name = "one"', 'name = "two"', "that of the file 'one'"),
        ("{ full = 0.9 }", "{ full = 0.9, rules = 0.2 }", "more than 1"),
        ("{ full = 0.9 }", "{ fulll = 0.9 }", "fulll"),
        ('do = "region_killed"', 'do = "region_killed"\nafter_s = 5.0', "when the hold is over"),
        ('do = "region_killed"', 'do = "region_grey"\noptions = { shar = 1 }', "`shar`"),
        ('load = "client"', 'load = "region"\nanswered_by = "client"', "only a load of clients"),
        ("hold_s = 5.0", "hold_s = ", "Invalid value"),
    ],
)
def test_what_is_wrong_with_a_drill_is_said_in_one_sentence(decoded, before, after, why):
    assert before in DRILL
    with pytest.raises(OperatorError) as error:
        decoded(DRILL.replace(before, after))
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_every_fault_that_a_drill_does_is_known(decoded):
    assert {fault.do for fault in decoded(DRILL).faults} <= PRIMITIVES.keys()


def test_a_drill_that_there_is_not_is_named():
    with pytest.raises(OperatorError, match="no drill 'nothing'"):
        find_drills(["nothing"], load_drills())


def test_more_requests_are_had_by_a_longer_hold_of_the_faulted_path(decoded):
    drill = decoded(DRILL)
    longer = shaped(drill, Options(requests=30_000))
    assert longer.hold_s * longer.rate * longer.faulted_share * longer.phases >= 30_000
    assert shaped(drill, Options(requests=10)).hold_s == drill.hold_s


def test_a_smoke_run_is_one_short_episode(decoded):
    drill = shaped(decoded(DRILL), Options(), smoke=True)
    assert (drill.phases, drill.hold_s) == (1, 5.0)
    assert drill.rate <= 60
