"""Connections as callers use them: kept, cut short, sent on without waiting, and sent in pieces."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.integration.api.setting import DECISIONS, attempt, post, text


@pytest.fixture
def line(service):
    """A connection to the service."""
    with closing(Line(service)) as made:
        yield made


class Line:
    """A caller's end of a connection, byte by byte."""

    def __init__(self, service):
        address = urlsplit(service.api)
        self.key = service.key
        self.socket = socket.create_connection((address.hostname, address.port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def request(self, body, *, version="1.1", **headers):
        named = {
            "Host": "x",
            "Content-Type": "application/json",
            "X-Api-Key": self.key,
            "Content-Length": str(len(body)),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"POST {DECISIONS} HTTP/{version}\r\n{lines}\r\n".encode() + body

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(0.02 if len(pieces) > 1 else 0.0)

    def answer(self):
        """The next answer: status, headers, body; None where the service has hung up."""
        first = self.file.readline()
        if not first:
            return None
        headers = http.client.parse_headers(self.file)
        body = self.file.read(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    def close(self):
        self.file.close()
        self.socket.close()


def attempts(count):
    return [attempt() for _ in range(count)]


def bodies(of):
    return [json.dumps(one).encode() for one in of]


def answered(answer, of):
    status, _, body = answer
    assert (status, json.loads(body)["attempt_id"]) == (200, of["attempt_id"])


def test_a_connection_is_kept_from_one_answer_to_the_next(line):
    sent = attempts(5)
    for one, body in zip(sent, bodies(sent), strict=True):
        line.send(line.request(body))
        answered(line.answer(), one)


def test_requests_that_are_sent_on_without_waiting_are_answered_in_order(line):
    sent = attempts(20)
    line.send(b"".join(map(line.request, bodies(sent))))
    for one in sent:
        answered(line.answer(), one)


@pytest.mark.parametrize("cut", [5, 200, 380])
def test_a_request_in_pieces_is_answered_like_one_that_came_whole(line, cut):
    sent = attempts(3)
    whole, pieces, after = map(line.request, bodies(sent))
    line.send(whole)
    answered(line.answer(), sent[0])
    line.send(pieces[:cut], pieces[cut:])
    answered(line.answer(), sent[1])
    line.send(after)
    answered(line.answer(), sent[2])


@pytest.mark.parametrize(
    ("version", "headers"), [("1.1", {"Connection": "close"}), ("1.0", {})], ids=["close", "1.0"]
)
def test_a_connection_ends_after_the_answer_where_the_request_says_so(line, version, headers):
    line.send(line.request(text(), version=version, **headers))
    status, named, _ = line.answer()
    assert (status, named["connection"]) == (200, "close")
    assert line.answer() is None


def test_leave_to_send_a_body_is_given(line):
    head, _, body = line.request(text(), Expect="100-continue").partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    status, _, _ = line.answer()
    assert status == 100
    line.send(body)
    status, _, _ = line.answer()
    assert status == 200


def test_a_refusal_leaves_the_connection_as_it_was(line):
    line.send(line.request(b"{"))
    assert line.answer()[0] == 400
    line.send(line.request(b" " * 20_000))
    assert line.answer()[0] == 413
    line.send(line.request(text()))
    assert line.answer()[0] == 200


def test_headers_over_the_limit_end_the_connection(line, service):
    line.send(line.request(text(), X_Large="a" * 16 * 1_024))
    status, headers, problem = line.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(problem)["status"] == 400
    assert line.answer() is None
    assert post(service, text()).status == 200


def test_callers_who_hang_up_before_their_answers_do_no_harm(service):
    for _ in range(50):
        with closing(Line(service)) as line:
            line.send(line.request(text()))
    assert post(service, text()).status == 200
