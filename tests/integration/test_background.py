"""A running service follows its answers on the lower rungs and with a model in shadow."""

from __future__ import annotations

import http.client
import json
import time

import pytest

FOLLOWED_S = 20.0
COMPARED = 20


def get(service, path):
    connection = http.client.HTTPConnection("127.0.0.1", service.operations_port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def readyz(service):
    return json.loads(get(service, "/readyz"))


def eventually(check):
    give_up_s = time.monotonic() + FOLLOWED_S
    while not check():
        assert time.monotonic() < give_up_s, "in vain"
        time.sleep(0.1)


def total(service, *parts):
    """The sum of the series that hold all of these parts."""
    lines = get(service, "/metrics").splitlines()
    found = [line for line in lines if line[0] != "#" and all(part in line for part in parts)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


@pytest.fixture
def following(monkeypatch, services):
    """A service that follows every answer."""
    monkeypatch.setenv("STEPDOWN_BACKGROUND_SHARE", "1")
    with services() as running:
        yield running


def test_answers_are_followed_on_every_lower_rung_and_in_shadow(following, stepdown):
    (model,) = json.loads(stepdown("models", "list", "--json", home=following.home).stdout)[
        "models"
    ]
    put = stepdown("models", "shadow", model["version"], home=following.home)
    assert put.returncode == 0, put.stderr
    eventually(lambda: readyz(following)["versions"].get("shadow") == model["version"])
    before, posted = total(following, "stepdown_decisions_total"), []

    def compared_enough():
        status, _ = following.post(following.sample(len(posted) % 5))
        posted.append(status)
        return total(following, "stepdown_shadow_total", 'rung="full"') >= COMPARED

    eventually(compared_enough)
    assert set(posted) == {200}
    eventually(lambda: total(following, "stepdown_decisions_total") == before + len(posted))
    said = readyz(following)["agreement"]
    assert set(said) == {"batch", "rules", "tier_default", "shadow"}

    def shown():
        # What waits is still worked off, so that the share may move between the two looks.
        share = readyz(following)["agreement"]["batch"]["share"]
        return f"{share:.1%} of" in stepdown("status", home=following.home).stdout

    eventually(shown)
    # The shadow is the model that decides: it says the same of the same rows.
    same = sum(
        total(following, "stepdown_shadow_total", 'rung="full"', f'live="{a}",', f'shadow="{a}"')
        for a in ("approve", "step_up", "decline")
    )
    assert same == total(following, "stepdown_shadow_total", 'rung="full"')
    assert total(following, "stepdown_score_gap_sum", 'of="shadow"') == 0.0

    gone = stepdown("models", "withdraw", "--json", home=following.home)
    assert json.loads(gone.stdout) == {"withdrawn": [following.region]}
    eventually(lambda: "shadow" not in readyz(following)["versions"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("shadow", "0123456789ab"), "0123456789ab"),
        (("withdraw",), "no model is in shadow."),
        (("withdraw", "--region", "nowhere"), "has no region 'nowhere'."),
    ],
)
def test_what_cannot_be_is_one_sentence(trained, stepdown, words, sentence):
    done = stepdown("models", *words, home=trained)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (trained / "us-east-1" / "published" / "shadow").exists()
