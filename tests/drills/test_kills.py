"""Nothing that was answered is lost when workers die."""

import asyncio

from app.samples import load_samples
from chaos.kills import measure_window, run_kills
from chaos.load import Load


def test_every_decision_that_a_client_was_given_is_in_the_journal_after_workers_were_killed(
    drilled, stepdown
):
    load = Load(
        drilled.api,
        key=drilled.key,
        bodies=[sample.body for sample in load_samples(drilled.home)],
        rate=60,
        deadline_ms=1_900.0,
        keep_alive=False,
    )
    before = drilled.world.process(f"{drilled.region}/scorer").pid
    result = asyncio.run(
        run_kills(
            drilled.world,
            load,
            journal=drilled.home / drilled.region / "journal",
            scorer=f"{drilled.region}/scorer",
            kills=3,
        )
    )
    assert result.passed, result
    assert result.answered > 100
    # What was in flight in a killed worker has no answer; no worker that lives refuses one.
    kinds = {outcome.failure for outcome in load.outcomes if outcome.decision_id is None}
    assert not {kind for kind in kinds if kind.startswith("status")}, kinds
    assert result.epochs >= 2 + 3, "every replaced worker opened a journal epoch of its own"
    assert drilled.world.process(f"{drilled.region}/scorer").pid == before

    verified = stepdown("audit", "verify", home=drilled.home)
    assert verified.returncode == 0, verified.stdout
    replayed = stepdown("audit", "replay", "--sample", "200", home=drilled.home)
    assert replayed.returncode == 0, replayed.stdout


def test_what_a_lost_host_takes_with_it_is_measured(tmp_path):
    window = measure_window(tmp_path, rate=200, seconds=0.5)
    assert window.groups > 3
    assert 10.0 <= window.p50_ms <= window.p99_ms <= window.max_ms
