"""What the cost table takes from results that are kept."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from app.errors import OperatorError
from chaos.bench.hot import Row
from chaos.bench.measured import load_measured
from chaos.bench.sizes import Sizes
from chaos.bench.write_side import WriteSide

WRITE_SIDE = WriteSide(
    name="reference/1",
    features="reference",
    shards=1,
    batch=512,
    decisions=20_000,
    decisions_per_core_second=40_000.0,
    applier_us=25.0,
    datastore_us=30.0,
    changes_per_decision=5.0,
    replicated_bytes=1_000.0,
    bytes_per_entity_mean=120.0,
    bytes_per_entity_max=284,
)


def row(name, *, cpu_us=500.0, void=(), peers=None):
    return Row(
        name=name,
        cpu_us=cpu_us,
        cpu_us_by_part={"scorer": cpu_us, "applier": 90.0, "datastores": 120.0, "others": 150.0},
        decisions_per_core_second=1e6 / cpu_us,
        rate=1_000.0,
        batch=8.0,
        open_rate=500.0,
        p50_ms=1.0,
        p99_ms=2.0,
        p999_ms=3.0,
        lag_ms=0.1,
        lag_p999_ms=0.1,
        rungs={"full": 1.0},
        failures={},
        floor_cpu_us=80.0,
        floor_ratios=[6.0],
        peer_ratios=dict(peers or {}),
        void=list(void),
    )


def sizes(*, full=1.0):
    return Sizes(
        measured_on=date(2026, 11, 22),
        decisions=1_000,
        full=full,
        sources=3,
        request_bytes=600.0,
        answer_bytes=400.0,
        record_bytes=1_000.0,
        replicated_bytes=500.0,
        store_bytes=2_000.0,
        claim_memory=1_000.0,
        entity_memory={"card": 400.0},
    )


@pytest.fixture
def keep(tmp_path):
    def put(rows, *, full=1.0):
        results = {
            "bench-hot.json": {"rows": rows, "seconds": 5.0, "peers": []},
            "bench-write-side.json": WRITE_SIDE,
            "bench-sizes.json": sizes(full=full),
        }
        for name, result in results.items():
            (tmp_path / name).write_bytes(msgspec.json.encode(result))
        return tmp_path

    return put


def test_each_evaluator_has_its_row_and_the_applier_is_of_the_write_side(keep):
    folder = keep([row("full"), row("sources-3"), row("accelerated-3", cpu_us=300.0)])
    stock, fast = load_measured(folder, sources=3)
    assert (stock.evaluator, stock.scorer_us) == ("CatBoost", 500.0)
    assert (fast.evaluator, fast.scorer_us) == ("accelerated", 300.0)
    assert (stock.followers_us, stock.datastores_us, stock.applier_us) == (150.0, 120.0, 25.0)
    assert stock.void == ()


def test_an_evaluator_that_was_not_measured_is_left_out(keep):
    assert [one.evaluator for one in load_measured(keep([row("sources-3")]), sources=3)] == [
        "CatBoost"
    ]


def test_cpu_of_another_rung_is_void_and_latency_does_not_matter(keep):
    late = row("sources-3", void=["CPU: full answered only 80.0%.", "latency: the generator."])
    (stock,) = load_measured(keep([late], full=0.5), sources=3)
    assert stock.void == (
        "sources-3: CPU: full answered only 80.0%.",
        "sizes: full answered only 50.0%.",
    )


def test_results_without_the_rows_are_one_sentence(keep):
    with pytest.raises(OperatorError, match="none of the rows sources-3, accelerated-3"):
        load_measured(keep([row("full")]), sources=3)


def test_sizes_of_another_number_of_sources_are_refused(keep):
    with pytest.raises(OperatorError, match="is of 3 sources, not of 2"):
        load_measured(keep([row("sources-2")]), sources=2)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("bench-hot.json", "hot --all"),
        ("bench-write-side.json", "write-side"),
        ("bench-sizes.json", "sizes"),
    ],
)
def test_a_result_that_is_missing_is_said_with_the_command_that_makes_it(keep, name, command):
    folder = keep([row("sources-3")])
    (folder / name).unlink()
    with pytest.raises(OperatorError, match=f"stepdown bench {command} --json"):
        load_measured(folder, sources=3)
    (folder / name).write_text("{}")
    with pytest.raises(OperatorError, match=f"is no result of `bench {command}`"):
        load_measured(folder, sources=3)
