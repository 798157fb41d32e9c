"""What the client library needs beside decisions: the routing document, and a way to post back."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request, Response

from app.api.auth import Keys, Scope
from app.api.exchange import body_sent, caller_of, json_response
from app.api.problem import Invalid
from app.api.reading import read_stand_in
from app.api.wire import FieldProblem
from app.client_default import ClientDecisions
from app.routing import MERCHANTS_MAX, RoutingSource

__all__ = ["add_client_routes"]


def add_client_routes(
    app: FastAPI,
    *,
    keys: Callable[[], Keys],
    routing: RoutingSource,
    client_decisions: ClientDecisions,
) -> None:
    """Add `GET /v1/routing` and `POST /v1/stand-ins`.

    Args:
        app: to add to.
        keys: API keys in force.
        routing: makes routing documents.
        client_decisions: takes stand-ins.
    """

    @app.get("/v1/routing")
    async def routing_document(request: Request) -> Response:
        caller = caller_of(request, keys(), Scope.DECIDE)
        merchants = request.query_params.getlist("merchant")
        if len(merchants) > MERCHANTS_MAX:
            problem = f"may be named {MERCHANTS_MAX} times"
            raise Invalid(FieldProblem(field="merchant", problem=problem))
        response = json_response(routing.signed(caller.tenant, merchants))
        response.headers["cache-control"] = "no-store"  # it holds the tenant's answer key
        return response

    @app.post("/v1/stand-ins")
    async def stand_in(request: Request) -> Response:
        caller = caller_of(request, keys(), Scope.DECIDE)
        taken, canonical = read_stand_in(await body_sent(request))
        accepted = await client_decisions.take(taken, canonical, tenant=caller.tenant)
        return json_response(accepted, status=202)
