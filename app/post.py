"""Posts one attempt or outcome to a service, for the command line."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.errors import OperatorError

__all__ = ["connection_to", "post_decision", "post_outcome"]

TIMEOUT_S = 5.0
_CONNECT: Mapping[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


def post_decision(api_url: str, body: bytes, *, key: str) -> dict[str, Any]:
    """The decision on one attempt.

    Args:
        api_url: such as `http://127.0.0.1:18000`.
        body: the attempt, JSON.
        key: API key.

    Raises:
        OperatorError: no service, or it answered with a problem.
    """
    return _post(api_url, "/v1/decisions", body, key=key)


def post_outcome(api_url: str, body: bytes, *, key: str) -> None:
    """Tell what became of an attempt; see `post_decision`."""
    _post(api_url, "/v1/outcomes", body, key=key)


def _post(api_url: str, path: str, body: bytes, *, key: str) -> dict[str, Any]:
    connection = connection_to(api_url)
    try:
        connection.request(
            "POST",
            path,
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
    if response.status not in (200, 202):
        raise OperatorError(f"the service refused {path}: {_detail(content)}")
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        raise OperatorError(f"what answers at {api_url} is not this service.") from None


def connection_to(api_url: str) -> http.client.HTTPConnection:
    """A connection to a service, not yet open.

    Raises:
        OperatorError: that is no address.
    """
    parts = urlsplit(api_url)
    connect = _CONNECT.get(parts.scheme)
    try:
        port = parts.port
    except ValueError:  # not a number, or too large a one
        connect = None
    if connect is None or not parts.hostname:
        raise OperatorError(f"{api_url!r} is not the address of a service.")
    return connect(parts.hostname, port, timeout=TIMEOUT_S)


def _detail(content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace")[:200]
    return str(problem.get("detail") or problem.get("title"))
