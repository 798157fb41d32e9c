"""What every route needs of a request: headers, media type, a bounded body."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from app.api.problem import Malformed, TooLarge, UnsupportedMediaType

__all__ = [
    "BODY_BYTES_MAX",
    "BODY_WAIT_S",
    "ClientGone",
    "Receive",
    "body_of",
    "check_media_type",
    "headers_of",
]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_BYTES_MAX = 16 * 1024
BODY_WAIT_S = 5.0
_READ_ONCE = frozenset(
    (b"x-api-key", b"x-deadline-ms", b"x-attempt-retry", b"content-type", b"content-encoding")
)


class ClientGone(Exception):  # noqa: N818 - what happened
    """The caller hung up before his body was in."""


def headers_of(raw: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name, those that decide something allowed once."""
    headers = dict(raw)
    if len(headers) < len(raw):
        names = Counter(name for name, _ in raw)
        for name in _READ_ONCE:
            if names[name] > 1:
                raise Malformed(f"The header {name.decode('latin-1')} stands twice.")
    return headers


def check_media_type(headers: dict[bytes, bytes]) -> None:
    """Take plain JSON only.

    Raises:
        UnsupportedMediaType: it is something else.
    """
    if headers.get(b"content-type") == b"application/json" and b"content-encoding" not in headers:
        return
    kind, _, parameters = headers.get(b"content-type", b"").partition(b";")
    if kind.strip().lower() != b"application/json":
        raise UnsupportedMediaType(
            "Send application/json.", headers=[(b"accept-post", b"application/json")]
        )
    charset = parameters.strip().lower()
    if charset and charset not in {b"charset=utf-8", b'charset="utf-8"'}:
        raise UnsupportedMediaType("JSON is UTF-8; no other charset is read.")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedMediaType("Compressed bodies are not read.")


async def body_of(
    headers: dict[bytes, bytes], receive: Receive, wait_s: float = BODY_WAIT_S
) -> bytes:
    """The body of a request.

    Raises:
        TooLarge: over the limit.
        Malformed: it did not come in time.
        ClientGone: the caller hung up before it was in.
    """
    length = headers.get(b"content-length")
    # That it is a number is something the server has checked.
    if length is not None and int(length) > BODY_BYTES_MAX:
        raise TooLarge(f"The body may have {BODY_BYTES_MAX} bytes.")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _rest(body, receive, wait_s)
    elif message["type"] == "http.disconnect":
        raise ClientGone
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"The body may have {BODY_BYTES_MAX} bytes.")
    return body


async def _rest(body: bytes, receive: Receive, wait_s: float) -> bytes:
    """A body that comes in pieces."""
    try:
        async with asyncio.timeout(wait_s):
            more = True
            while more and len(body) <= BODY_BYTES_MAX:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        raise Malformed(f"The body did not come within {wait_s:g} s.") from None
    return body
