"""What a key may do, and what it may see."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from app.api.auth import Scope, add_key
from tests.integration.api.setting import DECISIONS, assert_problem, eventually, look_up, post, text

FOLLOWED_S = 10.0  # longest wait for a changed file to be in force, on a busy machine
POLLS_S = 2.0  # several polls of the disk by a scorer


def in_every_worker(check: Callable[[], bool]) -> bool:
    """Whether a change on disk is in force in time.

    Each call may reach another worker, or the same one every time; so the others get as long as
    some polls of the disk take, once one has followed.
    """
    if not eventually(lambda: all(check() for _ in range(12)), FOLLOWED_S):
        return False
    time.sleep(POLLS_S)
    return eventually(lambda: all(check() for _ in range(12)), FOLLOWED_S)


@pytest.fixture(scope="module")
def keys(service):
    """Keys of fewer rights, and one of another tenant, added while the service runs."""
    path = service.home / "keys.json"
    made = {
        "label": add_key(path, tenant="demo", scopes=[Scope.LABEL]),
        "decide": add_key(path, tenant="demo", scopes=[Scope.DECIDE]),
        "other_tenant": add_key(path, tenant="other", scopes=[Scope.READ]),
    }
    assert in_every_worker(lambda: look_up(service, "dec_x", made["other_tenant"]).status == 404)
    return made


def test_a_key_without_the_scope_may_not_decide(service, keys):
    assert_problem(post(service, text(), X_Api_Key=keys["label"]), 403)


def test_a_key_without_the_scope_may_not_read(service, keys):
    decided = post(service, text(), X_Api_Key=keys["decide"]).json["decision_id"]
    answer = look_up(service, decided, keys["decide"])
    assert_problem(answer, 403, instance=f"{DECISIONS}/{decided}")


def test_a_key_is_taken_up_without_a_restart(service):
    key = add_key(service.home / "keys.json", tenant="demo", scopes=[Scope.DECIDE])
    assert in_every_worker(lambda: post(service, text(), X_Api_Key=key).status == 200)
    assert post(service, text()).status == 200


def test_another_tenant_s_decision_is_not_found(service, keys):
    decision_id = post(service, text()).json["decision_id"]
    assert look_up(service, decision_id).status == 200
    answer = look_up(service, decision_id, keys["other_tenant"])
    assert_problem(answer, 404, instance=f"{DECISIONS}/{decision_id}")
