"""Several processes take from one ledger: never past the share, whoever is killed in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from app.ledger_file import LedgerFile, LockBusyError, boot_identity
from fallback.clock import SystemClock
from fallback.exposure import Ledger

SHARE = 20_000
WORKER = """
import json, random, sys
from pathlib import Path
from app.ledger_file import LedgerFile, LockBusyError, boot_identity
from fallback.clock import SystemClock
from fallback.exposure import Ledger, Limit

path, seed, wanted, bounded = Path(sys.argv[1]), *map(int, sys.argv[2:])
file = LedgerFile(path, identity=boot_identity())
ledger = Ledger(file.cells, clock=SystemClock())
limit = Limit(tier=20_000 if bounded else 10**15, instrument=10**15)
rng = random.Random(seed)
print("ready", flush=True)
sys.stdin.readline()
approved = busy = 0
for _ in range(wanted):
    try:
        with file.locked():
            spent = ledger.take(tier=1, instrument=rng.randrange(1, 99), amount=3, limit=limit)
    except LockBusyError:
        busy += 1
    else:
        approved += 0 if spent else 3
print(json.dumps([approved, busy]), flush=True)
"""

HOLDER = """
import sys, time
from pathlib import Path
from app.ledger_file import LedgerFile, boot_identity

with LedgerFile(Path(sys.argv[1]), identity=boot_identity()).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def started():
    """Starts a worker; those that still run are killed in the end."""
    running = []

    def start(path, seed, *, wanted=4_000, bounded=True):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(seed), str(wanted), str(int(bounded))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(worker)
        assert worker.stdout.readline() == "ready\n"
        return worker

    yield start
    for worker in running:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def go(workers):
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()


def approved_by(workers):
    return sum(json.loads(worker.stdout.readline())[0] for worker in workers)


def used(path):
    file = LedgerFile(path, identity=boot_identity())
    return Ledger(file.cells, clock=SystemClock()).used(1)


@pytest.mark.parametrize("bounded", [True, False])
def test_four_processes_approve_the_share_and_not_one_unit_more(started, tmp_path, bounded):
    path = tmp_path / "ledger"
    workers = [started(path, seed, bounded=bounded) for seed in range(4)]
    go(workers)
    approved = approved_by(workers)
    assert approved == used(path), "an approval that was lost or entered twice"
    assert approved == (SHARE // 3 * 3 if bounded else approved)
    assert bounded or approved > SHARE, "what the bound is for"


def test_a_process_killed_at_any_moment_blocks_nobody_and_loses_no_approval(started, tmp_path):
    path = tmp_path / "ledger"
    for seed in range(8):
        victim = started(path, seed, wanted=10**9, bounded=seed % 2 == 0)
        go([victim])
        time.sleep(0.02)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    before = used(path)
    survivor = started(path, 99, wanted=1_000, bounded=False)
    go([survivor])
    approved, busy = json.loads(survivor.stdout.readline())
    assert busy == 0
    assert approved == 3_000
    assert used(path) == before + approved


def test_a_process_that_dies_holding_the_lock_lets_go_of_it(tmp_path):
    path = tmp_path / "ledger"
    file = LedgerFile(path, identity=boot_identity())
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(LockBusyError), file.locked():
        raise AssertionError("the other one has it")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with file.locked():
        pass
