"""What people and machines look at: `/metrics` for Prometheus, `/readyz` for the region as a whole.

`/livez` is for this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, generate_latest

from app.operations.aggregator import Aggregator
from app.settings import ScorerSettings

__all__ = ["create_app", "serve"]


def create_app(aggregator: Aggregator, *, host: str, port: int) -> FastAPI:
    """The listener's app; receives pushes on the UDP port of the same number."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(aggregator)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: aggregator, local_addr=(host, port)
        )
        yield
        transport.close()

    app = FastAPI(title="Stepdown operations", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        readiness = aggregator.readiness()
        return Response(
            msgspec.json.encode(readiness),
            status_code=200 if readiness["ready"] else 503,
            media_type="application/json",
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return app


def serve(settings: ScorerSettings) -> None:
    """Listen until told to stop."""
    app = create_app(Aggregator(), host=settings.api_host, port=settings.operations_port)
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.operations_port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
