"""What the routes behind the hot one share: whom a request is from, its body, an answer."""

from __future__ import annotations

import msgspec
from fastapi import Request, Response

from app.api.auth import Caller, Keys, Scope
from app.api.request import body_of, check_media_type, headers_of

__all__ = ["body_sent", "caller_of", "json_response"]


def caller_of(request: Request, keys: Keys, scope: Scope) -> Caller:
    """Whom a request is from; see `Keys.authenticate`."""
    presented = request.headers.get("x-api-key")
    return keys.authenticate(None if presented is None else presented.encode("latin-1"), scope)


async def body_sent(request: Request) -> bytes:
    """The body of a request that takes JSON; see `body_of`."""
    headers = headers_of(request.headers.raw)
    check_media_type(headers)
    return await body_of(headers, request.receive)


def json_response(document: object, *, status: int = 200) -> Response:
    """A document as JSON."""
    return Response(
        msgspec.json.encode(document), status_code=status, media_type="application/json"
    )
