"""Workers are replaced, by the real gunicorn, while somebody asks all the time."""

from __future__ import annotations

import http.client
import os
import signal
import time

import pytest

from tests.integration.slow_app import COMES_UP_S

WORKERS = 2
START_S_MAX = 30.0


class Asker:
    """Asks over a kept connection, and over a new one when that was closed."""

    def __init__(self, port):
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)

    def ask(self):
        """The number of the process that answers."""
        self.connection.request("GET", "/")
        return int(self.connection.getresponse().read())


@pytest.fixture
def server(gunicorn):
    """The service's gunicorn with two workers that serve; its process and port."""
    process, _, port = gunicorn(STEPDOWN_WORKERS=str(WORKERS))
    give_up_s = time.monotonic() + START_S_MAX
    while len(asked(port)) < WORKERS:
        assert time.monotonic() < give_up_s
    return process, port


def asked(port):
    """Who answers now, over connections of their own."""
    answered = set()
    for _ in range(20):
        try:
            answered.add(Asker(port).ask())
        except OSError:
            time.sleep(0.05)
    return answered


def test_while_workers_are_replaced_every_request_is_answered(server):
    process, port = server
    before = asked(port)
    kept = [Asker(port) for _ in range(6)]
    for asker in kept:
        asker.ask()
    os.kill(process.pid, signal.SIGHUP)
    answered, until_s = [], time.monotonic() + COMES_UP_S + 4.0
    while time.monotonic() < until_s:
        answered.extend(asker.ask() for asker in kept)
        time.sleep(0.02)
    assert len(answered) > 100
    after = set(answered[-60:])
    assert not after & before
    assert len(asked(port)) == WORKERS


def test_a_stop_waits_for_nobody(server):
    process, _ = server
    started_s = time.monotonic()
    process.terminate()
    process.wait(10)
    assert time.monotonic() - started_s < 2.0


def test_a_stop_while_workers_are_replaced_ends_all_of_them(server):
    process, port = server
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(COMES_UP_S / 3)
    process.terminate()
    process.wait(15)
    with pytest.raises(OSError, match="refused"):
        Asker(port).ask()
