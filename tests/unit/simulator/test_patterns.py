from __future__ import annotations

import datetime as dt
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
    # So small a world has few customers who come back to one merchant.
    assert len({hit["instrument__token"] for hit in hits}) > 0.2 * len(hits)


def test_a_request_alone_says_little_of_fraud(attempts: pa.Table):
    # A farm's emulators are its own; no other pattern uses more of them than customers do.
    fraud = [
        attempt
        for attempt in attempts.to_pylist()
        if attempt["fraud"] and attempt["fraud_pattern"] != "device_farm"
    ]
    for column in ("network__proxy", "basket__gift_cards", "device__emulator"):
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


def test_a_takeover_is_an_old_account_on_a_device_it_never_used_and_often_a_new_password(
    attempts: pa.Table,
):
    taken = rows(attempts, "account_takeover")
    genuine = rows(attempts, None)
    own = {
        name: {use["device__id"] for use in uses}
        for name, uses in grouped(genuine, "customer__id").items()
    }
    devices = [
        attempt["device__id"] in own[attempt["customer__id"]] - {None}
        for attempt in taken
        if attempt["customer__id"] in own
    ]
    assert devices
    assert not any(devices)
    assert fresh(taken, "attributes__password_age_days") > 0.4
    assert fresh(genuine, "attributes__password_age_days") < 0.1
    elsewhere = [a["address__shipping_matches_billing"] is False for a in taken]
    assert sum(elsewhere) / len(elsewhere) > 0.2


def fresh(attempts: list[dict], column: str) -> float:
    """Share set within the last day, of those that say."""
    known = [attempt[column] for attempt in attempts if attempt[column] is not None]
    return sum(days < 1 for days in known) / len(known)


def test_a_device_farm_works_through_many_cards_and_accounts_on_few_devices(attempts: pa.Table):
    farmed = rows(attempts, "device_farm")
    devices = grouped(farmed, "device__id")
    assert len(devices) < len({attempt["instrument__token"] for attempt in farmed}) / 3
    busiest = max(devices.values(), key=len)
    assert len({attempt["customer__email_hash"] for attempt in busiest}) >= 4
    emulated = [a["device__emulator"] for a in farmed if a["device__emulator"] is not None]
    assert sum(emulated) / len(emulated) > 0.3


def test_friendly_fraud_comes_from_a_device_that_its_customer_used_before(attempts: pa.Table):
    genuine = {attempt["device__id"] for attempt in rows(attempts, None)}
    friendly = [a["device__id"] for a in rows(attempts, "friendly_fraud") if a["device__id"]]
    assert sum(device in genuine for device in friendly) / len(friendly) > 0.8


def test_the_new_pattern_pays_with_wallets_and_was_never_there_before_its_day(attempts: pa.Table):
    new = rows(attempts, "wallet_provisioning")
    assert min(attempt["received_at"] for attempt in new).date() >= dt.date(2026, 8, 10)
    remote = [a for a in new if a["transaction__channel"] != "pos"]
    assert {a["transaction__entry_mode"] for a in remote} <= {"wallet", None}


def test_checks_fail_more_often_where_the_payer_is_not_the_cardholder(attempts: pa.Table):
    def failing(pattern: str | None, column: str) -> float:
        told = [attempt[column] for attempt in rows(attempts, pattern) if attempt[column]]
        return sum(code == "no_match" for code in told) / len(told)

    for column in ("transaction__avs", "transaction__cvv"):
        assert failing("card_testing", column) > 4 * failing(None, column)
    assert 0 < failing("account_takeover", "transaction__avs") < 0.2
