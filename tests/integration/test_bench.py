"""The measure of the hot path: its generator beside a server that is known, and one row whole."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from chaos.bench.cpu import Cores, tree, used_s
from chaos.bench.generator import NO_ANSWER, PLACEHOLDER, Phase
from chaos.bench.serving import Serving, request, rungs_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
FULL = b'{"rung":"full","action":"approve"}'


@contextmanager
def server(answer, *, slow_s=0.0):
    """Answers every request on every connection; `answer` makes the bytes of a request's body."""
    bodies = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(
            target=accept, args=(listening, answer, bodies, slow_s), daemon=True
        ).start()
        port = listening.getsockname()[1]
        whole = request("/", {"Host": "here"}, b'{"attempt_id":"' + PLACEHOLDER + b'"}')
        yield (
            Serving(
                host="127.0.0.1",
                port=port,
                requests=[whole],
                cores=Cores.of_machine(),
                trees=lambda: {"server": tree(threading.get_native_id())},
            ),
            bodies,
        )


def accept(listening, answer, bodies, slow_s):
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the test is over
            return
        threading.Thread(
            target=serve, args=(connection, answer, bodies, slow_s), daemon=True
        ).start()


def serve(connection, answer, bodies, slow_s):
    with connection, suppress(OSError):  # hung up on
        while data := connection.recv(65_536):
            bodies.append(data.partition(b"\r\n\r\n")[2])
            time.sleep(slow_s)
            reply = answer(len(bodies))
            connection.sendall(reply[:20])
            connection.sendall(reply[20:])
            if not reply:
                return


def test_every_request_has_an_id_of_its_own_and_every_answer_its_rung():
    rules = HEAD % (16, b'{"rung":"rules"}')
    full = HEAD % (len(FULL), FULL)
    with server(lambda number: full if number % 2 else rules) as (serving, bodies):
        sent = serving.send(Phase(seconds=1.0), connections=1)
    ids = {json.loads(body)["attempt_id"] for body in bodies}
    assert len(ids) == len(bodies) >= len(sent.latency_ms) > 1
    assert sent.failures == {}
    shares = rungs_of(sent)
    assert abs(shares["full"] - shares["rules"]) * len(sent.rung) <= 1.1


def test_refusals_and_hang_ups_are_failures_by_kind():
    refused = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with server(lambda number: refused if number % 2 else b"") as (serving, _):
        sent = serving.send(Phase(seconds=0.3), connections=1)
    assert sent.latency_ms == []
    assert sent.failures["503"] > 0
    assert sent.failures["hung up"] > 0


def test_an_open_loop_does_not_wait_for_answers():
    full = HEAD % (len(FULL), FULL)
    with server(lambda _number: full, slow_s=0.2) as (serving, _):
        sent = serving.send(Phase(seconds=1.0, rate=60.0))
    # One after the other, five would have been answered.
    assert len(sent.latency_ms) > 30
    assert min(sent.latency_ms) >= 200.0
    assert max(sent.due_s) < 1.0


def test_who_gets_no_answer_hangs_up_and_counts_as_a_failure():
    full = HEAD % (len(FULL), FULL)
    with server(lambda _number: full, slow_s=1.5) as (serving, _):
        sent = serving.send(Phase(seconds=0.3, rate=60.0))
    assert sent.latency_ms == []
    assert sent.failures == {NO_ANSWER: len(sent.given_up_s)}
    assert 0.0 < min(sent.given_up_s) < max(sent.given_up_s) < 0.3


def test_a_server_that_takes_no_connections_is_late_and_not_the_generator():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        serving = Serving(
            host="127.0.0.1",
            port=port,
            requests=[request("/", {}, b"{}")],
            cores=Cores.of_machine(),
            trees=dict,
        )
        sent = serving.send(Phase(seconds=0.5, rate=100.0))
    assert len(sent.given_up_s) == sent.failures[NO_ANSWER] > 20
    assert sent.lag_ms < 500.0  # a connection that waits for its place waits for a second


def test_the_cpu_of_a_process_tree_is_what_it_used():
    pids = tree(threading.get_native_id())
    before = sum(used_s(pids).values())
    end_s = time.process_time() + 0.3
    while time.process_time() < end_s:
        pass
    assert sum(used_s(pids).values()) - before == pytest.approx(0.3, abs=0.1)


def test_a_process_that_ended_has_no_cpu():
    own, ended = os.getpid(), subprocess.Popen(["true"])
    ended.wait()
    assert used_s([own, ended.pid]).keys() == {own}


def test_one_row_is_measured_whole(trained, stepdown, port_base):
    done = stepdown("bench", "hot", "--seconds", "2", "--json", home=trained, port_base=port_base)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (row,) = said["rows"]
    assert row["name"] == "full"
    assert set(row["cpu_us_by_part"]) == {"scorer", "applier", "datastores", "others"}
    assert row["cpu_us"] == row["cpu_us_by_part"]["scorer"] > 0
    assert row["decisions_per_core_second"] == pytest.approx(1e6 / row["cpu_us"], rel=0.01)
    assert {"p50_ms", "p99_ms", "p999_ms", "lag_ms", "void"} <= set(row)
    assert row["failures"] == {}
    assert row["batch"] >= 1
    parts = ("http_us", "round_trip_us", "evaluation_us")
    assert said["floor_cpu_us"] == pytest.approx(sum(said["floor"][part] for part in parts), abs=1)
    assert [ratio > 1 for ratio in row["floor_ratios"]] == [True]
    assert row["peer_ratios"] == {}
    assert said["peers"] == []
    assert said["cores"]["server"]


def test_a_row_that_is_not_known_is_one_sentence(trained, stepdown):
    done = stepdown("bench", "hot", "--row", "warp", home=trained)
    assert done.returncode == 2
    assert "there is no row 'warp'; there are full, batch," in " ".join(done.stderr.split())


def test_the_sizes_of_a_decision_are_measured_on_a_region_with_all_its_stores(
    trained, stepdown, port_base
):
    done = stepdown("bench", "sizes", "--seconds", "2", "--json", home=trained, port_base=port_base)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sources"] == 3
    assert said["decisions"] > 0
    assert said["full"] > 0.5
    # The record holds the request, the stores are read on three sources, a claim holds the answer.
    assert said["record_bytes"] > said["request_bytes"] / 2
    assert said["store_bytes"] > said["replicated_bytes"] > 0
    assert said["claim_memory"] > said["answer_bytes"] / 2
    assert set(said["entity_memory"]) >= {"card", "email", "device", "ip"}
    assert min(said["entity_memory"].values()) > 50


def test_a_cost_without_results_is_one_sentence(stepdown, tmp_path):
    done = stepdown("bench", "cost", "--results", str(tmp_path), home=tmp_path / "home")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "bench-hot.json cannot be read; `stepdown bench hot --all --json` makes it." in said
