"""A home with history, and a server to load it into."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer

import pytest

from app.history.clickhouse import Address, ClickHouse
from app.record.frames import Kind
from tests.integration.history.setting import EngineBehindHttp, Writer, keep


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path)
    yield writer
    writer.journal.close()


@pytest.fixture
def written(tmp_path, writer):
    """A home with 3,000 decisions over three days and 1,000 effects, as history."""
    for at in range(3_000):
        writer.decide(at)
        if at % 3 == 0:
            writer.count(at)
    outcome = {"outcome_id": "f_1", "kind": "captured", "occurred_at": "2026-01-01T00:00:01Z"}
    label = {"label_id": "f_1", "label": "fraud", "source": "chargeback", "event_at": "2026-01-01T00:00:02Z"}  # fmt: skip
    writer.follow_up(Kind.OUTCOME, outcome)
    writer.follow_up(Kind.LABEL, label)
    keep(tmp_path)
    return tmp_path


@pytest.fixture
def server(tmp_path_factory):
    from chdb.session import Session

    server = ThreadingHTTPServer(("127.0.0.1", 0), EngineBehindHttp)
    server.engine, server.asked = Session(), []
    server.cut_short = server.engine_away = False
    server.folder = tmp_path_factory.mktemp("posted")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    server.engine.query("DROP DATABASE IF EXISTS stepdown")
    server.engine.close()


@pytest.fixture
def clickhouse(server):
    address = Address.parse(f"http://loader@127.0.0.1:{server.server_port}/stepdown")
    return ClickHouse(address, password="secret")
