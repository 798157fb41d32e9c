"""Posts one attempt to a service, for the command line."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.errors import OperatorError

__all__ = ["post_decision"]

TIMEOUT_S = 5.0


def post_decision(api_url: str, body: bytes, *, key: str) -> dict[str, Any]:
    """The decision on one attempt.

    Args:
        api_url: such as `http://127.0.0.1:18000`.
        body: the attempt, JSON.
        key: API key.

    Raises:
        OperatorError: no service, or it answered with a problem.
    """
    parts = urlsplit(api_url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    if not parts.hostname:
        raise OperatorError(f"{api_url!r} is not the address of a service.")
    connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        connection.request(
            "POST",
            "/v1/decisions",
            body,
            {"Content-Type": "application/json", "X-Api-Key": key},
        )
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(
            f"no service answers at {api_url} ({error}); 'stepdown up' starts one."
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise OperatorError(f"the service refused the attempt: {_detail(content)}")
    return msgspec.json.decode(content, type=dict[str, Any])


def _detail(content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace")[:200]
    return str(problem.get("detail") or problem.get("title"))
