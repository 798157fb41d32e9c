"""The historian as a process: killed, and not alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

from app.history.query import History
from tests.integration.history.setting import REGION_NAME, keep


def test_a_historian_killed_at_any_moment_loses_and_doubles_nothing(tmp_path, writer):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for kills in range(4):  # the last one is told to stop instead
        process = start_historian(tmp_path)
        until_s = time.monotonic() + rng.uniform(1.0, 2.5)
        while time.monotonic() < until_s or not flushes(tmp_path, more_than=3 * kills):
            for _ in range(100):
                at = len(writer.decisions)
                writer.decide(at)
                writer.count(at)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if kills < 3 else signal.SIGTERM)
        assert process.wait(30) == (-signal.SIGKILL if kills < 3 else 0)
    keep(tmp_path)
    with History(tmp_path) as history:
        for table, made in (("decisions", writer.decisions), ("effects", writer.effects)):
            (row,) = history.sql(
                f"SELECT count() AS n, uniqExact(seq) AS seqs, uniqExact(attempt_id) AS ids, "
                f"sum(amount_ref) AS amount FROM {table}"
            ).to_pylist()
            amount = sum(one.amount_ref for one in made)
            expected = {"n": len(made), "seqs": len(made), "ids": len(made), "amount": amount}
            assert row == expected, f"seed {seed}"


def start_historian(home):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "app.history.historian_process",
            "--rows",
            "1500",
            "--linger",
            "0.1",
        ],
        env={**os.environ, "STEPDOWN_HOME": str(home), "STEPDOWN_POLL_S": "0.01"},
        stderr=subprocess.DEVNULL,
    )


def flushes(home, *, more_than):
    with contextlib.suppress(FileNotFoundError):
        path = home / REGION_NAME / "history" / "checkpoint.json"
        return json.loads(path.read_bytes())["flush"] > more_than
    return False


def test_a_second_historian_of_a_folder_is_refused(tmp_path, writer):
    writer.decide(0)
    first = start_historian(tmp_path)
    try:
        deadline_s = time.monotonic() + 20
        while not flushes(tmp_path, more_than=0) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        second = subprocess.run(
            [sys.executable, "-m", "app.history.historian_process"],
            env={**os.environ, "STEPDOWN_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    finally:
        first.terminate()
        first.wait(30)
    assert second.returncode == 2
    assert re.fullmatch(r"historian: another historian writes .*\.\n", second.stderr)
