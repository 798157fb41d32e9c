"""Journals as a scorer and a joiner write them, and an engine that stands for a server."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np

from app.history.files import HistoryFiles
from app.history.historian import Historian
from app.ids import DecisionIds
from app.record.decision import DecisionRecord, encode
from app.record.effect import Effect, encode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from regions.topology import load_topology

REGION_NAME = "us-east-1"
REGION = load_topology().region(REGION_NAME).number
START_MS = 1_767_225_600_000  # 2026-01-01
DAY_MS = 86_400_000
ACTIONS = ("approve", "step_up", "decline")


class Writer:
    """Writes what a scorer and a joiner write, and remembers it."""

    def __init__(self, home):
        self.journal = open_journal(
            home / REGION_NAME / "journal", region=REGION, segment_bytes=200_000
        )
        self.decisions, self.effects = [], []
        self._ids = DecisionIds(region=REGION, writer=self.journal.writer)

    def decide(self, at):
        received_ms = START_MS + at * 60_000
        record = DecisionRecord(
            tenant="acme",
            decision_id=self._ids.new(received_ms),
            attempt_id=f"att_{at}",
            received_ms=received_ms,
            as_of_ms=received_ms - 5,
            request=f'{{"attempt_id":"att_{at}","note":"žluťoučký"}}'.encode(),
            amount_ref=at * 7,
            entities={"card": f"tok_{at % 50}", "merchant": f"m_{at % 9}"},
            bits={"device": 1 << (at % 64)},
            merchant={"tier": "standard", "category": "5411"},
            large=at % 10 == 0,
            action=ACTIONS[at % 3],
            score=at / 10_000,
            ranking=at / 10_000,
            rung="full",
            not_higher={},
            reasons=["MODEL_RISK"],
            versions={"policy": "p1"},
            numbers=np.array([at, 0.5], dtype="<f4").tobytes(),
            positions={"eu-west-1": {"2/0": (1, at + 1)}},
            deadline_ms=80,
            took_ms=1.5,
        )
        self.decisions.append(record)
        self.journal.append(Kind.DECISION, encode(record))

    def count(self, at):
        effect = Effect(
            tenant="acme",
            of=f"{REGION}/0/1/{at + 1}",
            what=("authorised", "fraud")[at % 2],
            at_ms=START_MS + at * 60_000,
            received_ms=START_MS + at * 60_000,
            decision_id="dec",
            attempt_id=f"att_{at}",
            attempted_ms=START_MS,
            amount_ref=at,
            entities={"card": f"tok_{at % 50}"},
        )
        self.effects.append(effect)
        self.journal.append(Kind.EFFECT, encode_effect(effect))

    def follow_up(self, kind, body):
        taken = FollowUp(
            tenant="acme", id="f_1", home=REGION, received_ms=START_MS, attempt_id="att_0",
            body=msgspec.json.encode(body),
        )  # fmt: skip
        self.journal.append(kind, encode_follow_up(taken))


def keep(home, *, rows_max=1_000):
    """Bring history up to the journals."""
    folder = home / REGION_NAME
    historian = Historian(
        JournalTail(folder / "journal"),
        HistoryFiles(folder / "history", rows_max=rows_max),
        monotonic=time.monotonic,
        rows_max=rows_max,
        linger_s=60.0,
    )
    historian.resume()
    while historian.step():
        pass
    historian.flush()
    return historian.checkpoint


class EngineBehindHttp(BaseHTTPRequestHandler):
    """Stands for a server: hands what is posted to ClickHouse's engine in this process.

    The engine cannot be given a body, so `input()` becomes a file. Settings are not handed on.
    """

    def do_POST(self):
        given = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((given, dict(self.headers)))
        try:
            status, content = 200, self.run(given, body)
        except RuntimeError as error:
            status, content = 400, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def run(self, given, body):
        if self.server.engine_away:
            return b"<html>hello</html>"
        sql = given.get("query", "")
        if "FORMAT Parquet" in sql:
            path = self.server.folder / f"{len(self.server.asked)}.parquet"
            path.write_bytes(body)
            sql = sql.replace("FROM input(", f"FROM file('{path}', 'Parquet', ")
            sql, body = sql.replace("FORMAT Parquet", ""), b""
            if self.server.cut_short:
                sql += " LIMIT 10"
        if self.server.cut_short and "INSERT INTO loaded" in sql:
            raise RuntimeError("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT)")
        params = {k.removeprefix("param_"): v for k, v in given.items() if k.startswith("param_")}
        self.server.engine.query(f"USE {given['database']}")
        form = given.get("default_format", "TabSeparated")
        return self.server.engine.query(f"{sql}{body.decode()}", form, params=params).bytes()

    def log_message(self, *_):
        pass
