from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pytest

from app.simulator.outcomes import OUTCOME_KINDS

PATHS = {
    ("issuer_declined",),
    ("authorised",),
    ("authorised", "reversed"),
    ("authorised", "captured"),
    ("authorised", "captured", "refunded"),
}


@pytest.fixture(scope="module")
def by_attempt(outcomes: pa.Table) -> dict[str, list[dict]]:
    """Outcomes of each attempt, in the order of what happened."""
    found = defaultdict(list)
    for row in outcomes.to_pylist():
        found[row["attempt_id"]].append(row)
    return {
        attempt: sorted(rows, key=lambda row: row["occurred_at"]) for attempt, rows in found.items()
    }


def test_every_attempt_is_answered_by_its_issuer_and_goes_one_of_five_ways(attempts, by_attempt):
    assert set(by_attempt) == set(attempts["attempt_id"].to_pylist())
    assert {tuple(row["kind"] for row in rows) for rows in by_attempt.values()} == PATHS


def test_an_outcome_comes_after_its_attempt_and_is_received_after_that(attempts, by_attempt):
    at = dict(
        zip(attempts["attempt_id"].to_pylist(), attempts["received_at"].to_pylist(), strict=True)
    )
    for attempt, rows in by_attempt.items():
        for row in rows:
            assert at[attempt] < row["occurred_at"] < row["received_at"]


def test_outcome_ids_are_unique(outcomes: pa.Table):
    assert len(set(outcomes["outcome_id"].to_pylist())) == outcomes.num_rows


def test_only_a_decline_has_an_issuer_code(outcomes: pa.Table):
    for row in outcomes.to_pylist():
        assert (row["issuer_code"] is not None) == (row["kind"] == "issuer_declined")


def test_a_refund_is_for_what_was_captured_or_less(by_attempt):
    for rows in by_attempt.values():
        amounts = {row["kind"]: row["amount__value"] for row in rows}
        if "refunded" in amounts:
            assert 0 < amounts["refunded"] <= amounts["captured"] == amounts["authorised"]


def test_issuers_decline_tested_cards_far_more_often_than_genuine_ones(attempts, by_attempt):
    def declined(pattern: str | None) -> float:
        rows = [a for a in attempts.to_pylist() if a["fraud_pattern"] == pattern]
        kinds = [by_attempt[row["attempt_id"]][0]["kind"] for row in rows]
        return sum(kind == "issuer_declined" for kind in kinds) / len(kinds)

    assert 0.04 < declined(None) < 0.1
    assert declined("card_testing") > 0.4
    assert declined("friendly_fraud") == 0


def test_outcomes_are_counted_by_kind(summary, outcomes: pa.Table):
    kinds = outcomes["kind"].to_pylist()
    assert summary.outcomes == {kind: kinds.count(kind) for kind in OUTCOME_KINDS}
