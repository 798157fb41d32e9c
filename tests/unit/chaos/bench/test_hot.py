"""The row of a measure: its keys, its ratio to the floor, and when it is void."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from chaos.bench.floor import Floor
from chaos.bench.floor_worker import _batches
from chaos.bench.generator import LAG_MS_MAX, Sent
from chaos.bench.hot import Round, base_of, row_of, times
from chaos.bench.plot import plot_rows, plot_rungs
from chaos.bench.region import Shape
from chaos.bench.rows import ROWS
from chaos.bench.serving import Saturation
from chaos.bench.table import print_hot


def sent(*, rung=0, lag_p999_ms=0.5, failures=None):
    return Sent(
        due_s=[0.0, 0.5, 1.0],
        latency_ms=[1.0, 2.0, 3.0],
        rung=[rung] * 3,
        rungs=["full", "batch"],
        failures=failures or {},
        lag_ms=0.7,
        lag_p999_ms=lag_p999_ms,
    )


def a_round(*, cpu_us=200.0, rate=4_000.0, floor_us=50.0, peer_us=500.0, closed=None, ended=()):
    return Round(
        saturation=Saturation(
            sent=closed or sent(),
            cpu_us={"scorer": cpu_us, "applier": 30.0, "datastores": 20.0, "others": 10.0},
            rate=rate,
            ended=ended,
        ),
        batch=8.04,
        floor=Floor(http_us=floor_us - 30.0, round_trip_us=10.0, evaluation_us=20.0, batch=8),
        peers_us={"fastapi": peer_us},
    )


def row(*, name="full", closed=None, opened=None, ended=()):
    return row_of(ROWS[name], [a_round(closed=closed, ended=ended)], opened or sent())


def test_a_row_has_the_keys_that_others_rely_on():
    said = json.loads(msgspec.json.encode(row()))
    assert said["name"] == "full"
    assert said["cpu_us"] == 200.0
    assert said["decisions_per_core_second"] == 5_000.0
    assert (said["p50_ms"], said["p99_ms"], said["p999_ms"]) == (2.0, 2.98, 2.998)


def test_the_cpu_of_a_row_is_held_against_its_floor_and_the_load_is_half_of_saturation():
    made = row()
    assert made.floor_ratios == [4.0]
    assert made.peer_ratios == {"fastapi": [2.5]}
    assert made.open_rate == 2_000.0
    assert made.void == []


def test_what_is_compared_is_of_one_round_and_what_is_said_the_median():
    slow = a_round(cpu_us=400.0, rate=2_000.0, floor_us=100.0, peer_us=1_000.0)
    made = row_of(ROWS["full"], [a_round(), slow, a_round(cpu_us=220.0, rate=3_600.0)], sent())
    assert made.floor_ratios == [4.0, 4.0, 4.4]
    assert made.peer_ratios == {"fastapi": [2.5, 2.5, 2.27]}
    assert (made.cpu_us, made.open_rate) == (220.0, 1_800.0)
    assert times(made.floor_ratios) == "4 (4 to 4.4)"
    assert times([4.0]) == "4"


def test_one_round_that_another_rung_answered_makes_the_row_void():
    made = row_of(ROWS["full"], [a_round()] * 9 + [a_round(closed=sent(rung=1))], sent())
    assert made.void == ["CPU: full answered only 90.0%."]


def test_a_row_of_which_a_process_ended_is_void():
    assert row(ended=("others",)).void == ["CPU: a process of others ended while it was measured."]


def test_a_row_that_another_rung_answered_is_void():
    assert row(closed=sent(rung=1)).void == ["CPU: full answered only 0.0%."]
    assert row(name="batch", closed=sent(rung=1)).void == []


def test_a_row_with_a_late_generator_is_void():
    late = row(opened=sent(lag_p999_ms=LAG_MS_MAX + 1))
    assert late.void == ["latency: the generator was late itself."]
    assert late.p50_ms is None
    assert late.cpu_us == 200.0


def test_failures_of_both_parts_are_added_up_and_said():
    failed = row(closed=sent(failures={"503": 2}), opened=sent(failures={"503": 1, "hung up": 1}))
    assert failed.failures == {"503": 3, "hung up": 1}
    assert failed.void == ["failures: 4."]


def test_rows_that_share_a_region_follow_each_other():
    shapes = [one.shape for one in ROWS.values()]
    seen = [shape for at, shape in enumerate(shapes) if at == 0 or shape != shapes[at - 1]]
    assert len(seen) == len(set(seen))


def test_another_feature_set_has_a_home_of_its_own():
    assert base_of(Path("home"), Shape()) == Path("home")
    assert base_of(Path("home"), Shape(features="wide")) == Path("home/bench/wide")


def test_the_floor_is_the_sum_of_its_parts():
    floor = Floor(http_us=30.0, round_trip_us=10.0, evaluation_us=20.0, batch=8)
    assert floor.cpu_us == 60.0


def test_a_batch_of_the_floor_reads_each_key_once():
    assert _batches([["m:1", "c:1"], ["m:1", "c:2"], ["m:2"]], 2) == [["m:1", "c:1", "c:2"]]


def test_the_table_says_what_is_void_what_is_missing_and_what_ran_where(capsys):
    print_hot(
        {
            "rows": [row(closed=sent(rung=1))],
            "floor_cpu_us": 60.0,
            "floor": Floor(http_us=30.0, round_trip_us=10.0, evaluation_us=20.0, batch=8),
            "cores": {"server": [0], "others": [0]},
            "seconds": 2.0,
            "rounds": 1,
            "connections": 32,
            "peers": [{"name": "mlserver", "missing": "it did not start."}],
        }
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "void full: CPU: full answered only 0.0%." in said
    assert "missing mlserver: it did not start." in said
    assert "one core for all" in said


def test_the_plots_are_svg_with_a_bar_for_every_part(tmp_path):
    plot_rows(tmp_path / "rows.svg", [row()], [{"name": "fastapi", "cpu_us": 450.0}])
    drawn = (tmp_path / "rows.svg").read_text()
    assert drawn.startswith("<svg")
    assert "fastapi" in drawn
    plot_rungs(tmp_path / "rungs.svg", {"full": [1.0, 0.25], "rules": [0.0, 0.75]}, "a < b")
    assert "a &lt; b" in (tmp_path / "rungs.svg").read_text()


def test_no_plot_is_one_sentence(tmp_path):
    from app.errors import OperatorError

    with pytest.raises(OperatorError, match="cannot be written"):
        plot_rows(tmp_path / "nowhere" / "rows.svg", [row()], [])
