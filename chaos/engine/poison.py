"""Requests that no service should be hurt by, sent beside the load for as long as a fault lasts."""

from __future__ import annotations

import gzip
import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Annotated

import msgspec

from chaos.engine.ground import Ground

__all__ = ["POISON", "Poisoned", "poisoned"]

ANSWER_S_MAX = 2.0
GOOD = (
    b'{"attempt_id":"att_drill","amount":{"value":2000,"currency":"USD"},'
    b'"merchant":{"id":"mer_drill"},"instrument":{"token":"tok_drill_12"}'
)
POISON = (
    b"",
    GOOD,  # cut off
    GOOD + b',"amount":{"value":1e400,"currency":"USD"}}',
    GOOD + b',"attributes":{"a":NaN}}',
    GOOD + b',"attributes":{"a":' + b"[" * 9_000,
    GOOD + b',"attributes":{"a":"' + rb"\ud800" + b'"}}',
    GOOD + b',"customer":{"id":"cus_4111111111111111"}}',
    GOOD.replace(b"att_", b"att\xff") + b"}",
    GOOD + b',"nobody_knows_this":1}',
    b"[" * 10_000,
    b'{"a":' * 2_000,
    b'{"a":' * 10_000,
    b"x" * 2**20,
    gzip.compress(GOOD + b"}"),
    (GOOD + b"}").decode().encode("utf-16"),
)


class Poisoned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many such requests a second."""

    rate: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 20.0


@contextmanager
def poisoned(ground: Ground, target: str, options: Poisoned) -> Iterator[None]:
    """A region is sent one of `POISON` after the other, each on a connection of its own."""
    host, _, port = ground.api(target).rpartition("//")[2].partition(":")
    over = threading.Event()

    def send() -> None:
        for body in cycle(POISON):
            _sent(host, int(port), ground.key, body)
            if over.wait(1 / options.rate):
                return

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            yield
        finally:
            over.set()
            sending.result()


def _sent(host: str, port: int, key: str, body: bytes) -> None:
    """Send one, and read what comes; that the service hangs up is its good right."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S_MAX)
    try:
        with suppress(OSError, http.client.HTTPException):
            connection.request(
                "POST",
                "/v1/decisions",
                body,
                {"X-Api-Key": key, "Content-Type": "application/json"},
            )
            connection.getresponse().read()
    finally:
        connection.close()
