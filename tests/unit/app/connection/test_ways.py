"""What takes the short way and what the long one; that nobody can tell which was taken."""

from __future__ import annotations

import json
import random

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.connection import HEADER_BYTES_MAX
from tests.unit.app.api.setting import BODY
from tests.unit.app.connection.setting import LIMIT, attempt


async def test_a_request_in_one_piece_takes_the_short_way_with_no_task_and_one_write(server, line):
    await line.send(server.request())
    assert (line.statuses, line.ids) == ([200], ["a1"])
    assert (line.loop.tasks, len(line.transport.writes)) == (0, 1)
    assert not line.transport.closed


@pytest.mark.parametrize("cut", [1, 10, 40])
async def test_a_body_in_pieces_takes_the_long_way_to_the_same_answer(server, line, cut):
    await line.send(server.request())
    other, request = server.call(), server.request()
    await other.send(request[:-cut], request[-cut:])
    assert other.raw == line.raw
    assert (line.loop.tasks, other.loop.tasks) == (0, 1)


async def test_a_body_that_comes_after_its_headers_takes_the_long_way(server, line):
    head, _, body = server.request().partition(b"\r\n\r\n")
    await line.send(head + b"\r\n\r\n", body)
    assert (line.ids, line.loop.tasks) == (["a1"], 1)


async def test_headers_in_pieces_do_not_matter_where_the_body_came_with_the_last(server, line):
    request = server.request()
    await line.send(request[:3], request[3:30], request[30:70], request[70:])
    assert (line.ids, line.loop.tasks) == (["a1"], 0)


async def test_a_refusal_is_the_same_on_either_way(server, way):
    lines = [server.call() for _ in range(2)]
    for headers in ({"x_api_key": "sk_wrong"}, {"x_deadline_ms": "1"}, {"content_type": None}):
        request = server.request(**headers)
        await way(lines[0], request)
        await lines[1].send(request)
    assert lines[0].statuses == [401, 400, 415]
    assert lines[0].raw == lines[1].raw


async def test_a_caller_who_waits_for_leave_to_send_his_body_gets_it(server, line):
    head, _, body = server.request(expect="100-continue").partition(b"\r\n\r\n")
    await line.send(head + b"\r\n\r\n")
    assert line.statuses == [100]
    await line.send(body)
    assert line.statuses == [100, 200]


async def test_a_caller_who_asks_for_leave_and_does_not_wait_is_answered(server, line):
    await line.send(server.request(expect="100-continue"))
    assert line.statuses[-1] == 200


async def test_a_body_in_chunks_is_read(server, line):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(at), at) for at in (BODY[:20], BODY[20:]))
    head = server.request(b"", content_length=None, transfer_encoding="chunked")
    await line.send(head + chunks + b"0\r\n\r\n")
    assert line.ids == ["a1"]


async def test_what_one_request_asks_for_is_not_asked_for_by_the_next(server, line):
    await line.send(server.request(expect="100-continue"))
    assert line.loop.tasks == 1
    await line.send(server.request())
    assert (line.statuses[-1], line.loop.tasks) == (200, 1)


async def test_an_upgrade_that_is_not_known_is_answered_as_uvicorn_would(server, line):
    request = server.request(connection="upgrade", upgrade="h2c")
    theirs = server.call(protocol=HttpToolsProtocol)
    for one in (line, theirs):
        await one.send(request)
    assert line.raw == theirs.raw
    assert line.loop.tasks == 1


async def test_a_body_of_just_the_limit_takes_the_short_way(server, line):
    await line.send(server.request(BODY.ljust(LIMIT)))
    assert (line.ids, line.loop.tasks) == (["a1"], 0)


@pytest.mark.parametrize("length", [LIMIT + 1, 10 * LIMIT])
async def test_a_body_over_the_limit_is_refused(server, line, length):
    await line.send(server.request(BODY.ljust(length)))
    ((status, headers, problem),) = line.answers
    assert status == json.loads(problem)["status"] == 413
    assert headers["content-type"] == "application/problem+json"
    assert not server.decider.asked_for


async def test_a_chunked_body_over_the_limit_is_refused(server, line):
    head = server.request(b"", content_length=None, transfer_encoding="chunked")
    await line.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (LIMIT + 1, b" " * (LIMIT + 1)))
    assert line.statuses == [413]


@pytest.mark.parametrize("pieces", [1, 3])
async def test_headers_over_the_limit_are_refused_and_the_caller_hung_up_on(server, line, pieces):
    request = server.request(x_large="a" * HEADER_BYTES_MAX)
    size = len(request) // pieces + 1
    await line.send(*(request[at : at + size] for at in range(0, len(request), size)))
    ((status, headers, problem),) = line.answers
    assert status == json.loads(problem)["status"] == 400
    assert headers["connection"] == "close"
    assert line.transport.closed
    assert not server.decider.asked_for


async def test_headers_below_the_limit_are_each_request_s_own(server, line):
    request = server.request(x_large="a" * (HEADER_BYTES_MAX * 2 // 3))
    await line.send(request, request)
    assert line.statuses == [200, 200]


async def test_what_is_not_http_is_refused_and_the_caller_hung_up_on(server, line):
    await line.send(server.request(), b"this is not http\r\n\r\n")
    assert line.statuses == [200, 400]
    assert line.transport.closed


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
async def test_another_method_is_told_which_one_to_use(server, line, method):
    await line.send(server.request(method=method))
    ((status, headers, _),) = line.answers
    assert (status, headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [b"/livez", b"/v1/decisions/", b"/v1/decisionsX", b"/v1"])
async def test_another_path_goes_to_the_app_behind(server, line, path):
    await line.send(server.request(path=path))
    assert server.behind == [path.decode()]
    assert not server.decider.asked_for


@pytest.mark.parametrize(
    "path", [b"/v1/decisions?x=1", b"/v1/%64ecisions", b"http://x/v1/decisions"]
)
async def test_the_path_in_other_words_is_the_same_path(server, line, path):
    await line.send(server.request(path=path))
    assert (line.ids, line.loop.tasks) == (["a1"], 1)


async def test_an_app_that_is_not_the_front_is_asked_as_any_other(server):
    async def app(scope, receive, send):
        await server.serve_behind(scope, receive, send)

    line = server.call(app=app)
    await line.send(server.request())
    assert (server.behind, line.loop.tasks) == (["/v1/decisions"], 1)


@pytest.mark.parametrize("seed", range(40))
async def test_however_requests_are_cut_up_they_are_answered_as_uvicorn_would(server, seed):
    rng = random.Random(seed)
    kinds = [
        lambda: server.request(attempt(f"a{rng.randrange(1_000)}")),
        lambda: server.request(BODY.ljust(rng.choice([500, LIMIT, LIMIT + 1]))),
        lambda: server.request(x_api_key=None),
        lambda: server.request(b"{"),
        lambda: server.request(b"", content_length=None),
        lambda: server.request(method=b"GET", path=b"/livez"),
        lambda: server.request(path=b"/v1/decisions?x"),
        lambda: server.request(
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
            content_length=None,
            transfer_encoding="chunked",
        ),
    ]
    stream = b"".join(rng.choice(kinds)() for _ in range(rng.randrange(1, 8)))
    if rng.random() < 0.5:
        stream += server.request(connection="close")
    cuts = sorted(rng.sample(range(1, len(stream)), k=min(rng.randrange(6), len(stream) - 1)))
    pieces = [stream[one:other] for one, other in zip([0, *cuts], [*cuts, None], strict=True)]
    ours, theirs = server.call(), server.call(protocol=HttpToolsProtocol)
    for one in (ours, theirs):
        await one.send(*pieces)
    assert ours.raw == theirs.raw
    assert ours.transport.closed == theirs.transport.closed
    assert ours.answers
