from __future__ import annotations

from pathlib import Path

import pytest

from app.documents import DocumentError
from app.rulebook import DEFAULT_RULES, RULES_MAX, load_rules
from fallback.predicate import Inputs
from fallback.rung import Action

RULE = "{id: a, when: 'amount.ref > 5', then: step_up, reason: AMOUNT_UNUSUAL}"
QUIET: Inputs = {
    "amount.ref": 1_000,
    "merchant.id": "m-1",
    "tier.amount_high": 50_000,
    "three_ds.liability_shift": False,
    "velocity.card_10s": 1,
    "velocity.device_10s": 1,
    "velocity.ip_10s": 1,
    "retry.count": 0,
}


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def write_list(folder: Path, name: str, text: str) -> None:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / f"{name}.txt").write_text(text, encoding="utf-8")


def refusal(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        load_rules(path)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_rule_file_loads(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, f"version: 7\nrules: [{RULE}]"))

    assert rules.version == 7
    assert [(rule.id, rule.then, rule.weight) for rule in rules.rules] == [
        ("a", Action.STEP_UP, 1.0)
    ]
    assert rules.evaluate({"amount.ref": 6}).action is Action.STEP_UP


def test_a_named_list_comes_from_the_folder_beside_the_file(tmp_path: Path) -> None:
    write_list(tmp_path, "hot", "# of last midnight\nm-1  # twice reported\n\nm-2\n")
    path = write(
        tmp_path,
        "version: 1\nrules: [{id: a, when: merchant.id in hot, then: decline, reason: MERCHANT_HOT}]",
    )

    rules = load_rules(path)

    assert rules.lists == {"hot": frozenset({"m-1", "m-2"})}
    assert rules.evaluate({"merchant.id": "m-1"}).action is Action.DECLINE
    assert rules.evaluate({"merchant.id": "m-3"}).action is Action.APPROVE


def test_lists_may_come_from_another_folder(tmp_path: Path) -> None:
    write_list(tmp_path, "hot", "m-1")
    path = write(tmp_path, "version: 1\nrules: []")

    assert load_rules(path, tmp_path).lists == {}


def test_a_missing_list_is_refused_when_a_rule_names_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "version: 1\nrules: [{id: a, when: merchant.id in hot, then: decline, reason: MERCHANT_HOT}]",
    )

    message = refusal(path)

    assert "rule 'a'" in message
    assert "no list called 'hot' (character 16)" in message


def test_a_missing_list_is_empty_when_declared_optional(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "version: 1\nlists: {hot: {optional: true}}\n"
        "rules: [{id: a, when: merchant.id in hot, then: decline, reason: MERCHANT_HOT}]",
    )

    assert load_rules(path).evaluate({"merchant.id": "m-1"}).action is Action.APPROVE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nrules: [", "not YAML"),
        ("version: 2024-13-45\nrules: []", "not YAML"),
        ("version: 1", "missing required field `rules`"),
        ("version: 0\nrules: []", "$.version"),
        ("version: 1\nrules: []\nrulez: []", "unknown field `rulez`"),
        ("version: 1\nlists: {hot: {}}\nrules: []", "list 'hot' is missing"),
        (f"version: 1\nrules: [{RULE}, {RULE}]", "rule 'a' is there twice"),
        ("version: 1\nrules: [{when: 'true'}]", "rule 'number 1'"),
        (f"version: 1\nrules: [{RULE.replace('step_up', 'block')}]", "rule 'a': Invalid enum"),
        (f"version: 1\nrules: [{RULE.replace('reason', 'why')}]", "rule 'a': Object contains"),
        (
            f"version: 1\nrules: [{RULE.replace('> 5', '> merchant.id')}]",
            "rule 'a': what `>` takes must be a number, and this is a string (character 14)",
        ),
        (f"version: 1\nrules: [{', '.join([RULE] * (RULES_MAX + 1))}]", "$.rules"),
    ],
)
def test_a_mistake_is_refused_in_one_sentence_that_names_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refusal(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.yaml")

    (tmp_path / "rules.yaml").write_bytes(b"\xff")
    assert "cannot be read" in refusal(tmp_path / "rules.yaml")


def test_the_default_rules_load_and_approve_a_quiet_attempt() -> None:
    fired = load_rules(DEFAULT_RULES).evaluate(QUIET)

    assert fired.action is Action.APPROVE
    assert fired.rules == fired.undefined == ()


@pytest.mark.parametrize(
    ("unusual", "action", "reason"),
    [
        ({"amount.ref": 60_000}, Action.STEP_UP, "AMOUNT_UNUSUAL"),
        ({"amount.ref": 600_000}, Action.DECLINE, "AMOUNT_UNUSUAL"),
        ({"velocity.card_10s": 4}, Action.STEP_UP, "VELOCITY_CARD"),
        ({"velocity.card_10s": 10}, Action.DECLINE, "VELOCITY_CARD"),
        ({"velocity.device_10s": 6}, Action.STEP_UP, "VELOCITY_DEVICE"),
        ({"velocity.ip_10s": 25}, Action.STEP_UP, "VELOCITY_IP"),
        (
            {
                "amount.ref": 30_000,
                "instrument.issuer_country": "US",
                "network.ip_country": "BR",
            },
            Action.STEP_UP,
            "COUNTRY_MISMATCH",
        ),
        ({"amount.ref": 11_000, "device.emulator": True}, Action.STEP_UP, "EMULATOR"),
        (
            {"customer.account_age_days": 0, "basket.gift_cards": True},
            Action.STEP_UP,
            "NEW_ACCOUNT",
        ),
        (
            {
                "network.proxy": True,
                "instrument.issuer_country": "US",
                "address.billing_country": "CA",
            },
            Action.STEP_UP,
            "PROXY",
        ),
    ],
)
def test_the_default_rules_see_what_they_are_for(
    unusual: Inputs, action: Action, reason: str
) -> None:
    fired = load_rules(DEFAULT_RULES).evaluate({**QUIET, **unusual})

    assert fired.action is action
    assert fired.reasons[0] == reason


def test_the_default_rules_use_the_hot_list(tmp_path: Path) -> None:
    (tmp_path / "hot_merchants.txt").write_text("m-1\n", encoding="utf-8")
    rules = load_rules(DEFAULT_RULES, tmp_path)

    assert rules.evaluate({**QUIET, "amount.ref": 6_000}).action is Action.STEP_UP
    assert rules.evaluate({**QUIET, "amount.ref": 60_000}).action is Action.DECLINE
