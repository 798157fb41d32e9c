from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

HOUR_MS = 3_600_000


def rows(attempts: pa.Table, pattern: str | None) -> list[dict]:
    """Attempts of one pattern, None for the genuine ones; receipt in milliseconds."""
    column = attempts["fraud_pattern"]
    mask = pc.is_null(column) if pattern is None else pc.equal(column, pattern)
    at = attempts["received_at"].cast(pa.int64())
    return attempts.append_column("at_ms", at).filter(mask).to_pylist()


def grouped(attempts: list[dict], column: str) -> dict[str, list[dict]]:
    groups = defaultdict(list)
    for attempt in attempts:
        if attempt[column] is not None:
            groups[attempt[column]].append(attempt)
    return groups


def within_the_hour_before(attempts: list[dict], column: str) -> list[int]:
    """For each attempt, how many of the same entity came in the hour before it."""
    return [
        sum(0 < attempt["at_ms"] - other["at_ms"] <= HOUR_MS for other in group)
        for group in grouped(attempts, column).values()
        for attempt in group
    ]


def test_fraud_and_pattern_go_together(attempts: pa.Table):
    assert attempts["fraud"].to_pylist() == attempts["fraud_pattern"].is_valid().to_pylist()


def test_card_testing_is_a_burst_of_small_attempts_over_many_cards_of_one_device(
    attempts: pa.Table, merchants: pa.Table
):
    testing = rows(attempts, "card_testing")
    genuine = rows(attempts, None)
    busy = [count >= 3 for count in within_the_hour_before(testing, "device__id")]
    usual = [count >= 3 for count in within_the_hour_before(genuine, "device__id")]
    assert sum(busy) / len(busy) > 0.4
    assert 0 < sum(usual) / len(usual) < 0.05
    largest = max(grouped(testing, "device__id").values(), key=len)
    assert len({attempt["instrument__token"] for attempt in largest}) >= 5
    amounts = [attempt["amount_ref"] for attempt in testing]
    assert median(amounts) < 0.4 * median(attempt["amount_ref"] for attempt in genuine)
    category = dict(
        zip(merchants["merchant_id"].to_pylist(), merchants["category"].to_pylist(), strict=True)
    )
    digital = {"digital_goods", "gaming", "subscriptions", "gift_cards", "tickets"}
    assert {category[attempt["merchant__id"]] for attempt in testing} <= digital


def test_a_stolen_card_is_used_several_times_in_two_days_far_above_its_own_mean(
    attempts: pa.Table,
):
    stolen = grouped(rows(attempts, "stolen_card"), "instrument__token")
    genuine = grouped(rows(attempts, None), "instrument__token")
    ratios = []
    for token, uses in stolen.items():
        moments = [use["at_ms"] for use in uses]
        assert max(moments) - min(moments) <= 48 * HOUR_MS
        if token in genuine:
            own = [attempt["amount_ref"] for attempt in genuine[token]]
            ratios.append(median(use["amount_ref"] for use in uses) / (sum(own) / len(own)))
    assert median(len(uses) for uses in stolen.values()) >= 4
    assert median(ratios) > 2.5


def test_a_stolen_card_comes_from_a_device_that_its_owner_never_used(attempts: pa.Table):
    known = {attempt["device__id"] for attempt in rows(attempts, None)}
    used = {attempt["device__id"] for attempt in rows(attempts, "stolen_card")}
    assert used & known <= {None}


def test_a_compromised_merchant_has_fraud_raised_for_about_four_weeks(attempts: pa.Table):
    fraud = grouped(rows(attempts, "merchant_compromise"), "merchant__id")
    everything = Counter(attempts["merchant__id"].to_pylist())
    merchant, hits = max(fraud.items(), key=lambda entry: len(entry[1]))
    moments = [hit["at_ms"] for hit in hits]
    assert len(hits) / everything[merchant] > 0.1
    assert 5 * 24 * HOUR_MS < max(moments) - min(moments) <= 29 * 24 * HOUR_MS
    assert len({hit["instrument__token"] for hit in hits}) > 0.3 * len(hits)


def test_a_request_alone_says_little_of_fraud(attempts: pa.Table):
    fraud = [attempt for attempt in attempts.to_pylist() if attempt["fraud"]]
    for column in ("network__proxy", "device__emulator", "basket__gift_cards"):
        suspicious = [attempt[column] for attempt in fraud if attempt[column] is not None]
        assert sum(suspicious) / len(suspicious) < 0.2


def test_some_genuine_behaviour_looks_like_fraud(attempts: pa.Table):
    genuine = rows(attempts, None)
    cards = [
        len({attempt["instrument__token"] for attempt in uses})
        for uses in grouped(genuine, "device__id").values()
    ]
    assert max(cards) >= 5
    assert sum(count >= 3 for count in within_the_hour_before(genuine, "instrument__token")) > 0
    abroad = [
        attempt["network__ip_country"] != attempt["instrument__issuer_country"]
        for attempt in genuine
        if attempt["network__ip_country"] and attempt["instrument__issuer_country"]
    ]
    assert 0.03 < sum(abroad) / len(abroad) < 0.2
