"""Everything but the hot route: look-ups, health, documentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import UnsetType
from starlette.exceptions import HTTPException

from app.api.auth import Keys, Scope
from app.api.client_routes import add_client_routes
from app.api.docs import openapi, page
from app.api.exchange import body_sent, caller_of, json_response
from app.api.problem import (
    PROBLEM_JSON,
    MethodNotAllowed,
    NotFound,
    RequestProblem,
)
from app.api.reading import read_label, read_outcome
from app.client_default import ClientDecisions
from app.record.decision import DecisionRecord
from app.record.explanation import ExplanationRecord, explanation_shown
from app.record.frames import Kind
from app.record.inputs import recorded_inputs
from app.record.intake import Intake
from app.record.lookup import ElsewhereError, find_decision, find_explanation
from app.record.reasons import notices
from app.routing import RoutingSource
from app.telemetry import Gauges
from fallback.rung import Action

__all__ = ["create_routes"]


def create_routes(
    *,
    keys: Callable[[], Keys],
    gauges: Callable[[], Gauges],
    intake: Intake,
    client_decisions: ClientDecisions,
    routing: RoutingSource,
    journal: Path,
    region: int,
    replay: bool,
    lifespan: Any,
) -> FastAPI:
    """The app behind the hot route.

    Args:
        keys: API keys in force.
        gauges: how things stand in this process.
        intake: of outcomes and labels.
        client_decisions: takes what clients decided by themselves.
        routing: makes routing documents.
        journal: the region's journal folder.
        region: number of this region.
        replay: whether event time stands for now, which whoever plays a history must know.
        lifespan: of the process.
    """
    app = FastAPI(
        title="Stepdown", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    _handle_problems(app)

    @app.get("/v1/decisions/{decision_id}")
    def decision(decision_id: str, request: Request) -> Response:
        caller = caller_of(request, keys(), Scope.READ)
        try:
            record = find_decision(journal, decision_id, region=region)
        except ElsewhereError as error:
            raise NotFound(f"{str(error).capitalize()}; ask its endpoint.") from None
        except ValueError:
            raise NotFound(f"{decision_id!r} is not a decision id.") from None
        if record is None or record.tenant != caller.tenant:
            raise NotFound(f"There is no decision {decision_id!r} in this region's journals.")
        return json_response(shown(record, find_explanation(journal, record.decision_id)))

    _add_follow_ups(app, keys, intake)
    add_client_routes(app, keys=keys, routing=routing, client_decisions=client_decisions)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        now = gauges()
        return json_response(
            {
                "ready": True,  # the last rung needs nothing: a live process always answers
                "replay": replay,
                "rungs": msgspec.to_builtins(now.rungs),
                "breakers": now.breakers,
                "ages": now.ages,
                "versions": now.versions,
                "refused": now.refused,
                "journal": now.journal,
            }
        )

    @app.get("/openapi.json")
    async def document() -> dict[str, Any]:
        return openapi()

    @app.get("/docs")
    @app.get("/docs/problems")
    async def docs() -> Response:
        return Response(page(), media_type="text/html")

    return app


def shown(record: DecisionRecord, explanation: ExplanationRecord | None) -> dict[str, Any]:
    """A record for people: inputs by name, the request as JSON, the explanation if there is one.

    What a notice of adverse action may say stands apart: the rest is not for the customer's eyes.
    """
    document: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    document["request"] = msgspec.json.decode(record.request)
    document["numbers"], document["categories"] = recorded_inputs(record)
    document["explanation"] = None if explanation is None else explanation_shown(explanation)
    explained = [] if explanation is None else explanation.shares
    adverse = record.action != Action.APPROVE
    document["adverse_action"] = msgspec.to_builtins(
        notices([*explained, *record.reasons]) if adverse else []
    )
    return document


def _add_follow_ups(app: FastAPI, keys: Callable[[], Keys], intake: Intake) -> None:
    @app.post("/v1/outcomes")
    async def outcome(request: Request) -> Response:
        caller = caller_of(request, keys(), Scope.OUTCOME)
        taken, canonical = read_outcome(await body_sent(request))
        accepted = await intake.take(
            Kind.OUTCOME,
            tenant=caller.tenant,
            id=taken.outcome_id,
            decision_id=_given(taken.decision_id),
            attempt_id=_given(taken.attempt_id),
            canonical=canonical,
            said_at=taken.occurred_at,
        )
        return json_response(accepted, status=202)

    @app.post("/v1/labels")
    async def label(request: Request) -> Response:
        caller = caller_of(request, keys(), Scope.LABEL)
        taken, canonical = read_label(await body_sent(request))
        accepted = await intake.take(
            Kind.LABEL,
            tenant=caller.tenant,
            id=taken.label_id,
            decision_id=_given(taken.decision_id),
            attempt_id=_given(taken.attempt_id),
            canonical=canonical,
            said_at=_given(taken.arrived_at),
        )
        return json_response(accepted, status=202)


def _handle_problems(app: FastAPI) -> None:
    @app.exception_handler(RequestProblem)
    async def problem(request: Request, error: RequestProblem) -> Response:
        return _problem(request, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return _problem(request, MethodNotAllowed((error.headers or {}).get("Allow", "GET")))
        return _problem(request, NotFound("There is nothing here; see /docs."))


def _problem(request: Request, error: RequestProblem) -> Response:
    response = Response(
        error.body(request.url.path), status_code=error.status, media_type=PROBLEM_JSON
    )
    for name, value in error.headers:
        response.headers[name.decode()] = value.decode()
    return response


def _given(value: str | UnsetType) -> str | None:
    return None if isinstance(value, UnsetType) else value
