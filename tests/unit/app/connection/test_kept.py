"""A connection from one request to the next: in order, kept, closed, and hung up on."""

from __future__ import annotations

import pytest

from tests.unit.app.connection.setting import KEEP_ALIVE_S, attempt, quiet


async def test_a_connection_is_used_again_whichever_way_was_taken(server, line):
    short, long = server.request(attempt("s")), server.request(attempt("l"))
    await line.send(short, short, long[:-5], long[-5:], short, long[:-5], long[-5:])
    assert line.ids == ["s", "s", "l", "s", "l"]
    assert line.loop.tasks == 2
    assert server.state.total_requests == 5


async def test_requests_that_are_sent_on_without_waiting_are_answered_in_order(server, line):
    await line.send(b"".join(server.request(attempt(id)) for id in ("a", "b", "c")))
    assert line.ids == ["a", "b", "c"]
    assert server.decider.batches == [["a"], ["b"], ["c"]]


async def test_those_behind_one_that_is_being_decided_wait_for_its_answer(server, line):
    server.decider.hold()
    await line.send(server.request(attempt("a")))
    await line.send(server.request(attempt("b")), server.request(method=b"GET"))
    assert line.answers == []
    assert server.decider.batches == [["a"]]
    assert not line.transport.reading
    server.decider.let()
    await quiet()
    assert line.statuses == [200, 200, 405]
    assert line.transport.reading


async def test_one_behind_a_refusal_is_answered_after_it_and_may_be_incomplete(server, line):
    request = server.request()
    await line.send(server.request(x_api_key=None) + request[:-5])
    assert line.statuses == [401]
    await line.send(request[-5:])
    assert line.statuses == [401, 200]


@pytest.mark.parametrize(
    ("said", "closes"),
    [
        ({}, False),
        ({"connection": "keep-alive"}, False),
        ({"connection": "close"}, True),
        ({"connection": "Close"}, True),
        ({"version": b"1.0"}, True),
        ({"version": b"1.0", "connection": "keep-alive"}, True),
    ],
)
async def test_a_connection_closes_after_the_answer_where_the_request_says_so(
    server, line, way, said, closes
):
    await way(line, server.request(**said))
    ((status, named, _),) = line.answers
    assert (status, line.transport.closed) == (200, closes)
    assert named.get("connection") == ("close" if closes else None)


async def test_a_worker_that_is_replaced_closes_with_its_next_answer(server, line, way):
    await way(line, server.request())
    server.state.default_headers = [(b"date", b"today"), (b"connection", b"close")]
    await way(line, server.request())
    (_, first, _), (_, second, _) = line.answers
    assert (first.get("connection"), second["connection"], second["date"]) == (
        None,
        "close",
        "today",
    )
    assert line.raw.count(b"connection: close") == 1
    assert line.transport.closed


async def test_a_server_that_ends_closes_idle_connections_and_others_with_their_answer(server, way):
    idle, busy = server.call(), server.call()
    await way(idle, server.request())
    server.decider.hold()
    await way(busy, server.request())
    for line in (idle, busy):
        line.protocol.shutdown()
    assert (idle.transport.closed, busy.transport.closed) == (True, False)
    server.decider.let()
    await quiet()
    assert busy.statuses == [200]
    assert busy.answers[0][1]["connection"] == "close"
    assert busy.transport.closed


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_caller_who_hangs_up_before_the_answer_gets_none_and_nothing_is_raised(
    server, line, way, error, caplog
):
    server.decider.hold()
    await way(line, server.request())
    await line.hang_up(error)
    server.decider.let()
    await quiet()
    assert (line.answers, caplog.records) == ([], [])
    assert line.protocol not in server.state.connections


async def test_a_caller_who_hangs_up_with_others_behind_gets_nothing_of_them(server, line, caplog):
    server.decider.hold()
    await line.send(server.request(attempt("a")) + server.request(attempt("b")))
    await line.hang_up()
    server.decider.let()
    await quiet()
    assert (line.answers, caplog.records) == ([], [])
    assert server.decider.batches == [["a"]]


async def test_a_caller_who_hangs_up_within_his_body_is_counted(server, line):
    await line.send(server.request()[:-5])
    await line.hang_up()
    assert server.telemetry.counters == {"requests_refused\x00499": 1}


async def test_an_idle_connection_is_closed_after_the_time_out(server, line, way):
    await way(line, server.request())
    line.loop.advance(KEEP_ALIVE_S - 0.1)
    assert not line.transport.closed
    line.loop.advance(0.2)
    assert line.transport.closed


async def test_a_busy_connection_is_not_closed_however_long_its_answer_takes(server, line, way):
    await way(line, server.request())
    server.decider.hold()
    await way(line, server.request())
    line.loop.advance(10 * KEEP_ALIVE_S)
    assert not line.transport.closed
    server.decider.let()
    await quiet()
    assert line.statuses == [200, 200]
    line.loop.advance(KEEP_ALIVE_S - 0.1)
    assert not line.transport.closed
    line.loop.advance(KEEP_ALIVE_S + 0.2)
    assert line.transport.closed


async def test_each_request_begins_the_time_out_anew_and_a_connection_has_one_timer(
    server, line, way
):
    for _ in range(10):
        await way(line, server.request())
        line.loop.advance(KEEP_ALIVE_S * 0.7)
        assert len(line.loop.pending) == 1
    assert not line.transport.closed
    line.loop.advance(KEEP_ALIVE_S * 0.3 + 0.1)
    assert line.transport.closed


async def test_many_requests_in_a_row_make_one_timer(server, line):
    await line.send(*[server.request()] * 50)
    assert len(line.loop.timers) == 1


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_connection_that_is_gone_has_no_timer(server, line, error):
    await line.send(server.request())
    await line.hang_up(error)
    assert line.loop.pending == []


async def test_a_caller_who_does_not_read_what_he_is_sent_is_answered_when_he_does(server, line):
    line.protocol.pause_writing()
    await line.send(server.request())
    assert (line.answers, line.loop.tasks) == ([], 1)
    line.protocol.resume_writing()
    await quiet()
    assert line.ids == ["a1"]
