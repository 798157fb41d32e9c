"""The OpenAPI document, made from the wire structs, and a page to read it on.

The page is plain HTML that we render: a payments API loads no script from somebody else's host.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import msgspec

from app.api.problem import RequestProblem
from app.api.wire import Accepted, Attempt, Decision, Label, Outcome, Problem, StandIn
from app.routing import MERCHANTS_MAX, Routing, SignedRouting

__all__ = ["openapi", "page"]

_REF = "#/components/schemas/{name}"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1d2430}
h1,h2,h3{line-height:1.2} code{background:#eef1f5;padding:.1em .3em;border-radius:3px}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem} td,th{text-align:left;
padding:.3rem .6rem;border-bottom:1px solid #dde2ea;vertical-align:top}
.verb{font-weight:700;color:#0a6} @media(prefers-color-scheme:dark){body{background:#14181f;
color:#dfe5ee} code{background:#232a35} td,th{border-color:#2c3542}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One operation: what it does, what it takes, what it gives."""

    verb: str
    path: str
    summary: str
    takes: str | None = None
    gives: str | None = None
    status: int = 200


_OPERATIONS = (
    _Operation(
        verb="post",
        path="/v1/decisions",
        summary="Decide one payment attempt (scope decide).",
        takes="Attempt",
        gives="Decision",
    ),
    _Operation(
        verb="get",
        path="/v1/decisions/{decision_id}",
        summary="The record of a decision (scope read).",
    ),
    _Operation(
        verb="post",
        path="/v1/outcomes",
        summary="Report what became of an attempt (scope outcome).",
        takes="Outcome",
        gives="Accepted",
        status=202,
    ),
    _Operation(
        verb="post",
        path="/v1/labels",
        summary="Report what an attempt turned out to be (scope label).",
        takes="Label",
        gives="Accepted",
        status=202,
    ),
    _Operation(
        verb="post",
        path="/v1/stand-ins",
        summary="Enter what a client decided by itself while no region answered (scope decide).",
        takes="StandIn",
        gives="Accepted",
        status=202,
    ),
    _Operation(
        verb="get",
        path="/v1/routing",
        summary="The tenant's signed routing document; its payload is a Routing (scope decide).",
        gives="SignedRouting",
    ),
    _Operation(verb="get", path="/livez", summary="Whether the process is alive."),
    _Operation(
        verb="get", path="/readyz", summary="Which rungs can be served, and why not the others."
    ),
)

_HEADERS = (
    ("X-Api-Key", "string", True, "your API key"),
    ("X-Deadline-Ms", "integer", False, "20 to 100; a shorter deadline than the service's own"),
    ("X-Attempt-Retry", "integer", False, "how often this attempt was sent before"),
    ("traceparent", "string", False, "W3C trace context"),
)


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    _, schemas = msgspec.json.schema_components(
        (
            Attempt,
            Decision,
            Outcome,
            Label,
            StandIn,
            Accepted,
            SignedRouting,
            Routing,
            Problem,
        ),
        ref_template=_REF,
    )
    # As readers get it: a default that is a tuple is a list there.
    components = msgspec.json.decode(msgspec.json.encode(schemas))
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.verb] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stepdown", "version": "1", "summary": "Checkout risk decisions."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }


def _described(operation: _Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "OK"}
    if operation.gives is not None:
        answer["content"] = _json(operation.gives)
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {str(operation.status): answer},
    }
    if operation.path.startswith("/v1/"):
        described["security"] = [{"key": []}]
        described["responses"]["default"] = {
            "description": "A problem",
            "content": {"application/problem+json": {"schema": _schema("Problem")}},
        }
    if operation.takes is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.takes)}
    if operation.takes == "Attempt":
        described["parameters"] = [
            {
                "name": name,
                "in": "header",
                "required": required,
                "description": text,
                "schema": {"type": kind},
            }
            for name, kind, required, text in _HEADERS
            if name != "X-Api-Key"
        ]
    elif operation.path == "/v1/routing":
        described["parameters"] = [
            {
                "name": "merchant",
                "in": "query",
                "required": False,
                "description": f"a merchant whose tier to include; up to {MERCHANTS_MAX}",
                "schema": {"type": "array", "items": {"type": "string"}},
            }
        ]
    elif "{decision_id}" in operation.path:
        described["parameters"] = [
            {"name": "decision_id", "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    return described


def page() -> str:
    """The document as one HTML page."""
    document = openapi()
    title = (
        "<h1>Stepdown</h1><p>Checkout risk decisions. The machine-readable document is "
        "<a href='/openapi.json'><code>/openapi.json</code></a>.</p><h2>Operations</h2>"
    )
    parts = [title]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            parts.append(
                f"<h3><span class=verb>{verb.upper()}</span> <code>{escape(path)}</code></h3>"
                f"<p>{escape(operation['summary'])}</p>"
            )
    parts.append("<h3>Headers of <code>POST /v1/decisions</code></h3><table>")
    parts += [_row(name, kind, required, text) for name, kind, required, text in _HEADERS]
    parts.append("</table><h2>Schemas</h2>")
    parts += [_table(name, schema) for name, schema in document["components"]["schemas"].items()]
    parts.append(_problems())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        "content='width=device-width'><title>Stepdown API</title>"
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _problems() -> str:
    rows = [
        f"<tr id='{kind.slug}'><td>{kind.status}</td><td><code>{kind.slug}</code></td>"
        f"<td>{escape(kind.title)}</td><td>{escape(kind.__doc__ or '')}</td></tr>"
        for kind in sorted(RequestProblem.__subclasses__(), key=lambda kind: kind.status)
    ]
    return (
        "<h2>Problems</h2><p>Errors are RFC 9457 problem details.</p><table>"
        f"{''.join(rows)}</table>"
    )


def _table(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        _row(field, _kind(of), field in required, of.get("description", ""))
        for field, of in schema.get("properties", {}).items()
    ]
    return (
        f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>"
        f"<table><tr><th>field<th>type<th>required<th></tr>{''.join(rows)}</table>"
    )


def _row(name: str, kind: str, required: bool, text: str) -> str:
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td>"
        f"<td>{'yes' if required else ''}</td><td>{escape(text)}</td></tr>"
    )


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#{name}'>{name}</a>"
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(of) for of in schema["anyOf"])
    limits = [
        f"{key} {schema[key]}" for key in ("minimum", "maximum", "maxLength") if key in schema
    ]
    pattern = f" <code>{escape(schema['pattern'])}</code>" if "pattern" in schema else ""
    return f"{escape(str(schema.get('type', 'any')))} {escape(', '.join(limits))}{pattern}"


def _schema(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _schema(name)}}
