"""The client of Toxiproxy: against the real one, and against one that misbehaves."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from regions.world import toxiproxy
from regions.world.network import toxiproxy_binary
from regions.world.plan import Link
from regions.world.toxiproxy import Network, Proxy, Toxic, ToxiproxyError, put_links

needs_toxiproxy = pytest.mark.skipif(
    toxiproxy_binary() is None, reason="Toxiproxy is not installed: run 'make toxiproxy'"
)
SLOW = Toxic(name="slow", type="latency", attributes={"latency": 150, "jitter": 0})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running() -> Iterator[int]:
    port = free_port()
    server = subprocess.Popen(
        [toxiproxy_binary(), "-host", "127.0.0.1", "-port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up_s = time.monotonic() + 10
        while True:
            try:
                Network(port).proxies()
                break
            except ToxiproxyError:
                assert time.monotonic() < give_up_s
                time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def network():
    with running() as port:
        yield Network(port)


@pytest.fixture
def echo():
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def proxy_to(port):
    return Proxy(name="one", listen=f"127.0.0.1:{free_port()}", upstream=f"127.0.0.1:{port}")


def echoed_ms(proxy):
    """How long a word takes there and back, ms."""
    host, _, port = proxy.listen.partition(":")
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        start_s = time.monotonic()
        connection.sendall(b"word")
        assert connection.recv(100) == b"word"
        return (time.monotonic() - start_s) * 1_000


@needs_toxiproxy
def test_a_toxic_is_there_for_a_block_and_then_gone(network, echo):
    proxy = proxy_to(echo)
    network.put(proxy)
    with network.toxic("one", SLOW):
        assert network.proxy("one").toxics == (SLOW,)
        assert echoed_ms(proxy) >= 150
    assert network.proxy("one").toxics == ()
    assert echoed_ms(proxy) < 100


@needs_toxiproxy
def test_a_toxic_is_taken_off_whatever_happens_in_the_block(network, echo):
    network.put(proxy_to(echo))
    with pytest.raises(ZeroDivisionError), network.toxic("one", SLOW):
        1 / 0  # noqa: B018
    assert network.proxy("one").toxics == ()


@needs_toxiproxy
def test_a_toxic_is_changed_in_place(network, echo):
    network.put(proxy_to(echo))
    network.add("one", SLOW)
    faster = Toxic(name="slow", type="latency", attributes={"latency": 5, "jitter": 0})
    network.add("one", faster)
    assert network.proxy("one").toxics == (faster,)


@needs_toxiproxy
def test_a_toxic_that_is_not_held_as_it_was_told_is_not_left_behind(network, echo):
    network.put(proxy_to(echo))
    unsaid = Toxic(name="slow", type="latency", attributes={"latency": 5})  # jitter is filled in
    with pytest.raises(ToxiproxyError, match="and holds"), network.toxic("one", unsaid):
        pytest.fail("it was told otherwise")
    assert network.proxy("one").toxics == ()


@needs_toxiproxy
def test_a_proxy_that_is_down_refuses_and_is_up_again_after_the_block(network, echo):
    proxy = proxy_to(echo)
    network.put(proxy)
    with network.down("one"), pytest.raises(OSError, match="refused"):
        echoed_ms(proxy)
    assert echoed_ms(proxy) < 100


@needs_toxiproxy
def test_a_proxy_of_the_same_name_is_replaced(network, echo):
    network.put(proxy_to(echo))
    network.add("one", SLOW)
    other = proxy_to(echo)
    network.put(other)
    assert network.proxies() == {"one": other}


@needs_toxiproxy
def test_two_servers_are_spoken_to_at_the_same_time(network, echo):
    proxy = proxy_to(echo)
    with running() as port:
        Network(port)
        network.put(proxy)
        assert Network(port).proxies() == {}
    assert network.proxies() == {"one": proxy}


@needs_toxiproxy
def test_a_link_is_slow_in_both_directions(network, echo):
    port = network._api.port
    link = Link(name="replication:a:b:0", carries="replication", near="a", far="b",
                listen=free_port(), upstream=echo, latency_ms=60.0)  # fmt: skip
    put_links(port, (link,))
    put_links(port, (link,))  # as after a restart of the supervisor
    assert echoed_ms(network.proxy(link.name)) >= 120


@needs_toxiproxy
def test_what_toxiproxy_refuses_is_an_error(network, echo):
    with pytest.raises(ToxiproxyError, match="asked to get /proxies/none"):
        network.proxy("none")
    network.put(proxy_to(echo))
    with pytest.raises(ToxiproxyError, match="toxics"):
        network.add("one", Toxic(name="what", type="no such toxic"))


@contextmanager
def pretending(answer) -> Iterator[Network]:
    """A server that answers every request by `answer(verb, path)`: status and object."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self.command, self.path)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Network(server.server_address[1])
        server.shutdown()


STANDS = {"name": "one", "listen": "127.0.0.1:1", "upstream": "127.0.0.1:2", "enabled": False,
          "toxics": []}  # fmt: skip


def test_a_500_is_not_taken_for_success():
    answer = {"GET": (200, STANDS), "POST": (500, {"error": "address already in use"})}
    with (
        pretending(lambda verb, _path: answer[verb]) as network,
        pytest.raises(ToxiproxyError, match="500"),
    ):
        network.enable("one")


def test_a_write_that_had_no_effect_is_an_error():
    with (
        pretending(lambda _verb, _path: (200, STANDS)) as network,
        pytest.raises(ToxiproxyError, match=r"was told .*enabled=True.* and holds .*enabled=False"),
    ):
        network.enable("one")


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(toxiproxy, "TIMEOUT_S", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(ToxiproxyError, match="timed out"):
        Network(silent.getsockname()[1]).proxies()
