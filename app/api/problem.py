"""Errors a caller can act on: RFC 9457 problem details, one class for each kind.

RequestProblem
├── Unauthenticated        401  no key, or one that is not known
├── Forbidden              403  the key lacks the scope
├── NotFound               404
├── MethodNotAllowed       405
├── Conflict               409  the attempt id was used for another body
├── TooLarge               413
├── UnsupportedMediaType   415
├── Malformed              400  not JSON, not UTF-8, a key twice, a bad header
├── Invalid                422  JSON of the wrong shape; names the field
├── Failed                 500  a bug of ours
└── NotTaken               503  an outcome or label could not be kept; send it again
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.api.wire import FieldProblem, Problem

__all__ = [
    "PROBLEM_JSON",
    "Conflict",
    "Failed",
    "Forbidden",
    "Invalid",
    "Malformed",
    "MethodNotAllowed",
    "NotFound",
    "NotTaken",
    "RequestProblem",
    "TooLarge",
    "Unauthenticated",
    "UnsupportedMediaType",
]

PROBLEM_JSON = "application/problem+json"

# A URI reference to the page that explains the type; relative, so it works on every host.
_TYPES = "/docs/problems#"


class RequestProblem(Exception):  # noqa: N818 - the RFC's word
    """A request that cannot be answered with a decision, and why.

    Attributes:
        status: HTTP status code.
        slug: last part of the problem's `type`.
        title: the kind of problem, the same for each of its kind.
        detail: what is wrong with this request, one sentence.
        errors: the fields that are wrong.
        headers: extra response headers.
    """

    status = 400
    slug = "bad-request"
    title = "Bad request"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = headers

    def body(self, instance: str) -> bytes:
        """The problem document; `instance` is the path asked for."""
        return msgspec.json.encode(
            Problem(
                type=_TYPES + self.slug,
                title=self.title,
                status=self.status,
                detail=self.detail,
                instance=instance,
                errors=list(self.errors),
            )
        )


class Malformed(RequestProblem):
    """The request cannot be read at all."""

    slug = "malformed"
    title = "Malformed request"


class Unauthenticated(RequestProblem):
    """No API key, or not one of ours."""

    status = 401
    slug = "unauthenticated"
    title = "API key required"


class Forbidden(RequestProblem):
    """The API key does not allow this."""

    status = 403
    slug = "forbidden"
    title = "Not allowed with this API key"


class NotFound(RequestProblem):
    """There is no such thing."""

    status = 404
    slug = "not-found"
    title = "Not found"


class MethodNotAllowed(RequestProblem):
    """The path exists, the method does not."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(
            f"This resource answers {allowed} only.", headers=[(b"allow", allowed.encode())]
        )


class Conflict(RequestProblem):
    """The id was used before, for something else."""

    status = 409
    slug = "conflict"
    title = "Id used for another body"


class TooLarge(RequestProblem):
    """The body is over the limit."""

    status = 413
    slug = "too-large"
    title = "Body too large"


class UnsupportedMediaType(RequestProblem):
    """The body is not plain JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"


class Invalid(RequestProblem):
    """The body is JSON, but not what this resource takes."""

    status = 422
    slug = "invalid"
    title = "Invalid request"

    def __init__(self, *errors: FieldProblem) -> None:
        first = errors[0]
        super().__init__(f"{first.field}: {first.problem}.", errors=errors)


class NotTaken(RequestProblem):
    """An outcome or label could not be kept. Decisions never get this."""

    status = 503
    slug = "not-taken"
    title = "Not taken"


class Failed(RequestProblem):
    """A fault of the service."""

    status = 500
    slug = "failed"
    title = "A fault of the service"
