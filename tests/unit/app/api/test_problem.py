"""Problem details: one document for every error a caller can act on."""

from __future__ import annotations

import msgspec
import pytest

from app.api import problem
from app.api.problem import Failed, Invalid, MethodNotAllowed, NotFound, NotTaken, RequestProblem
from app.api.wire import FieldProblem

KINDS = RequestProblem.__subclasses__()


def test_a_problem_says_what_rfc_9457_asks_for():
    document = msgspec.json.decode(NotFound("There is no such thing.").body("/v1/decisions/x"))
    assert document == {
        "type": "/docs/problems#not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such thing.",
        "instance": "/v1/decisions/x",
    }


def test_an_invalid_request_names_every_field_and_tells_the_first_in_words():
    errors = [FieldProblem(field=name, problem="is required") for name in ("amount", "merchant")]
    invalid = Invalid(*errors)
    assert invalid.detail == "amount: is required."
    document = msgspec.json.decode(invalid.body("/v1/decisions"))
    assert document["errors"] == [
        {"field": "amount", "problem": "is required"},
        {"field": "merchant", "problem": "is required"},
    ]


def test_a_wrong_method_says_which_is_right():
    assert MethodNotAllowed("POST").headers == [(b"allow", b"POST")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_but_a_fault_of_ours_is_the_caller_s_to_put_right(kind):
    # Only what has no answer to give may ask to be sent again; a decision always has one.
    assert 400 <= kind.status < 500 or kind in {NotTaken, Failed}


def test_a_fault_of_ours_is_told_as_one():
    assert (Failed.status, NotTaken.status) == (500, 503)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_documented(kind):
    assert kind.title
    assert kind.__doc__
    assert f"{kind.__name__} " in problem.__doc__


def test_every_kind_has_a_page_of_its_own():
    assert len({kind.slug for kind in KINDS}) == len(KINDS)
