"""An app that takes a while to come up, as a scorer does; it says which process answers."""

from __future__ import annotations

import os
import time

COMES_UP_S = 1.5

time.sleep(COMES_UP_S)


async def app(scope, receive, send):
    """Answer with the process's number."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    body = str(os.getpid()).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
