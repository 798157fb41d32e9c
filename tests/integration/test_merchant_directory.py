"""A merchant directory of one's own, published and followed."""

import json
import time
import urllib.request

import pytest

from app.publish import adopt, current, roll_back

HEADER = "merchant_id,tier,category,country,step_up,decline,lists,exemptions\n"


@pytest.fixture
def service_with_its_directory(service):
    """A service that has its first directory back afterwards."""
    source = service.home / "registry" / "merchants"
    first = current(source)
    yield service
    roll_back(source, first)
    adopt(source, service.published / "merchants")
    follow(service, first)


def follow(service, version):
    for _ in range(100):
        with urllib.request.urlopen(f"{service.operations}/readyz") as answer:
            if json.load(answer)["versions"]["merchants"] == version:
                time.sleep(1.0)  # the other worker looks as often
                return
        time.sleep(0.1)
    raise AssertionError("the scorers did not follow")


def test_thresholds_and_lists_of_a_merchant_are_followed(
    service_with_its_directory, stepdown, tmp_path
):
    service = service_with_its_directory
    table = tmp_path / "merchants.csv"
    table.write_text(
        HEADER + "mer_lenient,standard,retail,US,0.98,0.99,,tra low_value\n"
        "mer_strict,standard,retail,US,0.0,1.0,block hot,\n"
    )
    done = stepdown("features", "merchants", str(table), "--json", home=service.home)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["merchants"] == 2
    follow(service, said["version"])
    body = service.sample()
    for merchant, action, thresholds in (
        ("mer_lenient", "approve", {"step_up": 0.98, "decline": 0.99}),
        ("mer_strict", "step_up", {"step_up": 0.0, "decline": 1.0}),
    ):
        attempt = {**body, "attempt_id": f"own-{merchant}-{time.time_ns()}"}
        status, answer = service.post({**attempt, "merchant": {"id": merchant}})
        assert (status, answer["action"], answer["thresholds"]) == (200, action, thresholds)
    assert "MERCHANT_BLOCKED" in [reason["code"] for reason in answer["reasons"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("merchant_id,tier,category\nm,standard,retail\n", "has no column 'country'"),
        (HEADER + "m,standard,retail,,0.1,0.2,,\n", "row 1: country is missing"),
        (HEADER + "m,standard,retail,US,0.1,7,,\n", "row 1: a threshold is in [0, 1]"),
    ],
)
def test_a_wrong_table_is_one_clear_sentence(trained, stepdown, tmp_path, content, said):
    table = tmp_path / "merchants.csv"
    table.write_text(content)
    done = stepdown("features", "merchants", str(table), home=trained)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
