"""The section `hot` of the README says what the kept results say."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec
import pytest

from app.errors import OperatorError
from app.marked_section import read_section
from chaos.bench.deadlines import Asked
from chaos.bench.generator import NO_ANSWER
from chaos.bench.overload import Part
from chaos.bench.page import (
    Deadlines,
    Hot,
    HotResults,
    Overload,
    Peer,
    Soaked,
    load_results,
    section,
)
from tests.unit.chaos.bench.test_measured import row

ROOT = Path(__file__).parents[4]
DAY = date(2026, 11, 23)


def hot(*rows, peers=()):
    return Hot(
        measured_on=DAY,
        rows=list(rows),
        peers=list(peers),
        floor_cpu_us=60.0,
        seconds=8.0,
        rounds=2,
        connections=32,
    )


def asked(*, void):
    return Asked(
        deadline_ms=20,
        requests=1_000,
        failed=0,
        in_time=0.9987,
        rungs={"full": 0.75, "rules": 0.25, "batch": 0.0},
        p50_ms=5.0,
        p99_ms=15.0,
        lag_ms=1.0,
        void=void,
    )


def part(name, rate, *, in_time):
    return Part(
        name=name,
        rate=rate,
        answers=20_000,
        in_time=in_time,
        p50_ms=9.0,
        p99_ms=30.0,
        rungs={"full": 1.0},
    )


PEERS = [
    Peer(name="fastapi", cpu_us=450.5, decisions_per_core_second=2_220.0, open_rate=1_100.0),
    Peer(name="bentoml", missing="it cannot be installed here"),
]
RESULTS = HotResults(
    hot=hot(row("full", cpu_us=400.0, peers={"fastapi": [1.1, 1.3]}), peers=PEERS),
    calm=hot(row("applier-off")),
    overload=Overload(
        measured_on=DAY,
        saturation=2_000.0,
        requests=160_000,
        errors={"503": 2, NO_ANSWER: 1_234},
        in_time=0.99995,
        parts=[part("calm", 2_000.0, in_time=1.0), part("overload", 6_000.0, in_time=0.995)],
        full_again_s=2.0,
        void=False,
    ),
    deadlines=Deadlines(measured_on=DAY, rate=1_600.0, rows=[asked(void=False), asked(void=True)]),
    soak=Soaked(
        measured_on=DAY,
        requests=300_123,
        failures={},
        rss_mb_per_100000=0.42,
        rss_mb=(310.0, 311.2),
        descriptors=(40, 40),
    ),
)


def kept_in(folder):
    for name in HotResults.__struct_fields__:
        body = msgspec.json.encode(getattr(RESULTS, name))
        (folder / f"bench-{name}.json").write_bytes(body)
    return folder


def test_every_row_and_peer_stands_with_its_cpu_and_a_peer_that_could_not_be_had_with_the_reason():
    said = section(RESULTS)
    assert "| x floor | x fastapi |" in said
    assert "| full | 400 | 2,500 | 6 | 1.2 (1.1 to 1.3) |" in said
    assert "| fastapi, the model alone | 450.5 | 2,220 | - | - |" in said
    assert "- bentoml is missing: it cannot be installed here" in said
    assert "| bentoml" not in said


def test_a_row_that_another_rung_answered_says_so_and_a_late_generator_is_of_latency_alone():
    void = ["CPU: full answered only 98.0%.", "latency: the generator was late itself."]
    peers = {"fastapi": [1.0]}
    rows = [row("full", void=void, peers=peers), row("batch", void=void[1:], peers=peers)]
    said = section(msgspec.structs.replace(RESULTS, hot=hot(*rows)))
    assert "| full, void | " in said
    assert "| batch | " in said


def test_a_peer_is_asked_at_half_of_what_it_can_do_as_the_rows_are():
    assert "| fastapi, the model alone, 8 s | 1,100 | - | - | - |" in section(RESULTS)


def test_a_deadline_whose_run_was_void_has_no_share():
    said = section(RESULTS)
    assert "| 20 | 1,000 | 0 | 99.87% | full 75.0%, rules 25.0% |" in said
    assert "| 20 | 1,000 | 0 | void | full 75.0%, rules 25.0% |" in said


def test_overload_and_soak_are_a_sentence_each():
    said = section(RESULTS)
    assert "(2026-11-23): 2,000/s to 6,000/s; saturation 2,000/s. 160,000 attempts, 2 err" in said
    assert "2 errors, 1,234 hung up after 1 s without an answer; within 100 ms" in said
    assert "within 100 ms 100.00% (calm), 99.50% (overload); full again after 2 s." in said
    assert "300,123 attempts (2026-11-23): 0 failed; memory 310 to 311 MB" in said


def test_an_overload_that_proves_nothing_says_so_first_of_all():
    void = msgspec.structs.replace(RESULTS.overload, void=True, full_again_s=None)
    said = section(msgspec.structs.replace(RESULTS, overload=void))
    assert "full again never, VOID: the generator was late itself." in said


def test_results_are_read_as_they_were_kept(tmp_path):
    assert section(load_results(kept_in(tmp_path))) == section(RESULTS)


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read"), (b'{"rows": 3}', "is no result")]
)
def test_a_result_that_is_missing_or_another_thing_is_named(tmp_path, content, says):
    path = kept_in(tmp_path) / "bench-soak.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(OperatorError, match=f"bench-soak.json {says}"):
        load_results(tmp_path)


def test_the_readme_says_what_the_kept_results_say():
    said = read_section(ROOT / "README.md", "hot")
    assert said == section(load_results(ROOT / "docs" / "results"))
