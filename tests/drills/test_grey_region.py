"""A grey region answers every probe at once, and a share of the attempts late."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from dataclasses import dataclass

import pytest

from chaos.engine.grey import grey_proxy, turned_grey

LATE_MS = 300.0


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(b"alive")

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@dataclass(frozen=True)
class OneRegion:
    port: int
    region: str = "us-east-1"

    def api(self, _region):
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def region():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield OneRegion(server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join()


def asked(connection, verb):
    """What came back, and after how many ms."""
    start_s = time.monotonic()
    connection.request(verb, "/", body=b"an attempt" if verb == "POST" else None)
    content = connection.getresponse().read()
    return content, (time.monotonic() - start_s) * 1_000


def test_only_attempts_are_late_and_only_while_it_is_grey(region):
    with grey_proxy(region, seed=7) as (told, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        assert asked(connection, "POST")[0] == b"an attempt"
        with turned_grey(told, share=1.0, late_ms=LATE_MS):
            time.sleep(0.2)  # until it has read what it was told
            assert asked(connection, "POST")[1] >= LATE_MS
            assert asked(connection, "GET")[1] < LATE_MS
        time.sleep(0.2)
        assert asked(connection, "POST")[1] < LATE_MS
        connection.close()


def test_a_share_of_the_attempts_draws_late_each_for_itself(region):
    with grey_proxy(region, seed=7) as (told, port), turned_grey(told, share=0.3, late_ms=60.0):
        time.sleep(0.2)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        late = sum(asked(connection, "POST")[1] >= 60.0 for _ in range(60))
        connection.close()
    assert 6 <= late <= 36  # of one connection: 0 or 60, were it drawn once for it
