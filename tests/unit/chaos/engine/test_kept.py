"""A run that was cut goes on where it was, and only that run."""

from __future__ import annotations

import msgspec

from chaos.engine.course import Course
from chaos.engine.kept import Kept
from chaos.engine.measure import Episode
from chaos.engine.spec import load_drills
from chaos.engine.value import Value


def episode(number):
    counts = ("requests", "failed", "defaults", "elsewhere", "settled", "before")
    zeros = dict.fromkeys((*counts, "elsewhere_failed"), 0)
    return Episode(
        number=number,
        **zeros,
        settled_good=0,
        before_steady=0,
        failures={},
        rungs={},
        regions={},
        before_ms=[1.0],
        hold_ms=[2.0],
        ejected_s=None,
        back_s=0.0,
        recovery_s=None,
        tries=1.0,
        posted_back=0,
        waiting=0,
        value_before=Value(),
        value_hold=Value(),
        lag_p999_ms=0.0,
        aborted=False,
        timeline={},
        course=Course(),
        problems=[],
    )


def test_an_episode_is_read_as_it_was_kept_and_a_cut_line_is_passed_over(tmp_path):
    drill = load_drills()["region-mute"]
    kept = Kept(tmp_path, drill, seed=7, how="abc")
    kept.add(episode(0))
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b'{"number": 1, "requ')
    assert kept.read() == [episode(0)]


def test_another_seed_commit_or_form_of_the_drill_is_another_run(tmp_path):
    drill = load_drills()["region-mute"]
    Kept(tmp_path, drill, seed=7, how="abc").add(episode(0))
    longer = msgspec.structs.replace(drill, hold_s=99.0)
    for other in (
        Kept(tmp_path, drill, seed=8, how="abc"),
        Kept(tmp_path, drill, seed=7, how="def"),
        Kept(tmp_path, longer, seed=7, how="abc"),
    ):
        assert other.read() == []
