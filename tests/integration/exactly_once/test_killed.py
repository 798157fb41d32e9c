"""The applier killed again and again: every event counts once.

How often is up to the environment: `STEPDOWN_KILLS`.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time

from app.features.applier_process import run
from app.settings import ScorerSettings
from tests.integration.exactly_once.setting import (
    DRAIN_S_MAX,
    Unruly,
    applied_of,
    modelled,
    stored,
    wait_until,
)

KILLS = int(os.environ.get("STEPDOWN_KILLS", "4"))


def test_an_applier_killed_again_and_again_counts_every_event_once(tmp_path, valkeys, traffic_on):
    stream, *stores = [valkeys() for _ in range(3)]
    traffic, rng = traffic_on(stream), random.Random(7)
    settings = ScorerSettings(
        home=tmp_path / "home",
        store="|".join(f"127.0.0.1:{store.port}" for store in stores),
        stream=f"127.0.0.1:{stream.port}",
        linger_ms=2,
    )
    clients = [store.client for store in stores]

    def start(number):
        process = multiprocessing.get_context("fork").Process(
            target=run,
            args=(settings,),
            kwargs={
                "around": lambda inner: Unruly(
                    inner, seed=number, from_the_start=number == KILLS // 2
                )
            },
        )
        process.start()
        return process

    seen = []
    with traffic:
        for number in range(KILLS):
            process = start(number)
            time.sleep(rng.uniform(0.05, 0.5))
            process.kill()
            process.join()
            seen.append(applied_of(clients[0]))
    process = start(KILLS)
    ends = traffic.ends()
    wait_until(
        lambda: all(ends.items() <= applied_of(c).positions.items() for c in clients),
        within_s=DRAIN_S_MAX,
    )
    process.terminate()
    process.join()
    assert process.exitcode == 0
    assert stored(clients) == modelled(traffic.events)
    generations = {
        applied.generation for applied in seen if applied is not None and applied.positions
    }
    assert len(generations) == 1  # it went on from the positions, it did not begin anew
