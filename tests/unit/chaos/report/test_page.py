"""The page says what is red first, and needs nothing from elsewhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import msgspec
import pytest

from chaos.engine.matrix import covered, load_matrix
from chaos.engine.results import read_results, write_results
from chaos.engine.spec import load_drills
from chaos.report.figures import figures
from chaos.report.page import page
from chaos.report.readme import section
from chaos.report.timeline import LOWER, TALL, timeline

ROWS = covered(load_matrix(), load_drills().values())


def made(results):
    return page(results, figures(results, ROWS))


@pytest.fixture
def mixed(results, ran):
    results.drills = [ran("store-slow"), ran("store-reset", failed=3)]
    results.controls = [ran("all-stores-refused", failed=5, control="rungs-removed")]
    return results


def test_nothing_is_fetched(mixed):
    text = made(mixed)
    assert not re.search(r"https?:|src=|@import|url\(|<link|<script", text)


def test_every_row_has_its_tile_and_its_line(mixed):
    text = made(mixed)
    for row in range(1, 51):
        assert f'href="#row-{row}"' in text
        assert f'id="row-{row}"' in text


def test_what_failed_comes_first_and_is_open(mixed):
    text = made(mixed)
    assert text.index('id="drill-store-reset" open') < text.index('id="drill-store-slow">')
    assert "3 attempts failed, and 0 may" in text
    assert "Not all is well" in text


def test_a_control_that_did_not_turn_red_is_said(results, ran):
    results.controls = [ran("store-slow", control="breaker-off")]
    assert "not red" in made(results)
    assert "0 of 1 controls turned red" in made(results)


def test_what_others_wrote_is_text_and_no_markup(results, ran):
    one = ran("store-slow", problems=["<script>alert(1)</script>"])
    results.errors = {"x": "<b>why</b>"}
    results.drills = [one]
    text = made(results)
    assert "<script>" not in text
    assert "&lt;b&gt;why" in text


def test_commit_seed_machine_and_versions_are_there(mixed):
    text = made(mixed)
    for said in ("abc", "seed 7", f"cores {mixed.machine['cores']}", "msgspec"):
        assert said in text


def test_a_timeline_has_its_fault_and_its_rungs_and_latency_by_powers_of_ten(ran):
    course = ran("store-reset", failed=3).course
    svg = ET.fromstring(timeline(course, limit_ms=100.0))
    boxes = [one for one in svg.iter("rect") if one.get("class") == "fault"]
    assert len(boxes) == 2
    titles = {one.text for one in svg.iter("title")}
    assert {"0 s: 20 full", "6 s: 3 failed"} & titles
    limit = next(one for one in svg.iter("line") if one.get("class") == "limit")
    assert float(limit.get("y1")) == pytest.approx(LOWER + TALL / 2, abs=0.1)  # 1 ms to 10 s


def test_results_are_read_as_they_were_kept(mixed, tmp_path):
    write_results(tmp_path / "deep" / "results.json", mixed)
    found = read_results(tmp_path / "deep" / "results.json")
    assert msgspec.to_builtins(found) == msgspec.to_builtins(mixed)


def test_the_readme_says_how_many_are_green(mixed):
    text = section(mixed, figures(mixed, ROWS))
    assert "| drills passed | 1 of 2 |" in text
    assert "| controls that turned red, as they have to | 1 of 1 |" in text
    assert "| attempts in faults, failed | 200, 3 |" in text
