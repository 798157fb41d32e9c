"""Whether a process is ready, asked from outside as a user of it would."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from regions.world.plan import AliveFor, AnswersHttp, AnswersPing, Ready

__all__ = ["is_ready", "until_ready"]

_TIMEOUT_S = 1.0
_INTERVAL_S = 0.05


async def until_ready(ready: Ready) -> None:
    """Return when the process is ready; wait as long as that takes."""
    if isinstance(ready, AliveFor):
        await asyncio.sleep(ready.seconds)
        return
    answered = False
    while not answered:
        await asyncio.sleep(_INTERVAL_S)
        answered = await asyncio.to_thread(is_ready, ready)


def is_ready(ready: AnswersHttp | AnswersPing) -> bool:
    """Ask once, for at most a second."""
    if isinstance(ready, AnswersHttp):
        return _answers_http(ready)
    return _answers_ping(ready)


def _answers_http(ready: AnswersHttp) -> bool:
    connection = http.client.HTTPConnection(ready.host, ready.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", ready.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _answers_ping(ready: AnswersPing) -> bool:
    client = redis.Redis(
        host=ready.host,
        port=ready.port,
        password=Path(ready.password_file).read_text("utf-8").strip(),
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=3,
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
