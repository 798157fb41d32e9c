"""Reason codes: each has a sentence, known or not; a notice says only what it may."""

from __future__ import annotations

import re

import pytest
import yaml

from app.api.wire import ReasonText
from app.record.reasons import CATALOGUE, MODEL_RISK, NOTICES_MAX, described, notices
from app.rulebook import DEFAULT_RULES
from fallback.rungs.tier_default import STANDING_POLICY

NOTICES = [entry.notice for entry in CATALOGUE.values() if entry.notice is not None]
TEXTS = [*NOTICES, *(entry.sentence for entry in CATALOGUE.values())]


def codes_of(reasons):
    return [reason.code for reason in reasons]


def test_a_known_code_has_its_sentence():
    assert described(["EMULATOR"]) == [
        ReasonText(code="EMULATOR", text="The device is an emulator.")
    ]


def test_the_order_is_kept():
    codes = ["VELOCITY_IP", "AMOUNT_UNUSUAL"]
    assert codes_of(described(codes)) == codes_of(notices(codes)) == codes


def test_a_code_that_a_rule_file_made_up_speaks_for_itself():
    assert described(["TOO_GOOD_TO_BE_TRUE"])[0].text == "Too good to be true."


def test_a_code_that_a_rule_file_made_up_is_never_told_to_a_customer():
    assert notices(["TOO_GOOD_TO_BE_TRUE"]) == []


def test_every_code_of_the_service_itself_is_in_the_catalogue():
    rules = yaml.safe_load(DEFAULT_RULES.read_text())["rules"]
    codes = {MODEL_RISK, STANDING_POLICY, *(rule["reason"] for rule in rules)}
    assert codes <= CATALOGUE.keys()


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_one_sentence(text):
    assert text[0].isupper()
    assert text.endswith(".")
    assert text.count(".") == 1


@pytest.mark.parametrize(
    "code",
    [MODEL_RISK, STANDING_POLICY, "DEVICE_MANY_CARDS", "EMULATOR", "MERCHANT_HOT", "CARD_COUNTRY"],
)
def test_scores_policies_methods_merchants_and_countries_are_not_told(code):
    assert not CATALOGUE[code].disclosable
    assert notices([code]) == []


@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_accuses_no_one_and_names_neither_method_nor_protected_attribute(notice):
    assert not re.search(
        r"fraud|risk|score|model|proxy|emulator|threshold|[0-9]"
        r"|\b(race|colou?r|religion|nation|country|sex|gender|married|marital|age)\b",
        notice,
        re.IGNORECASE,
    )


def test_a_notice_names_the_first_four_reasons_each_once():
    told = notices([MODEL_RISK, "PROXY", "PROXY", *sorted(CATALOGUE)])
    assert told[0].code == "PROXY"
    assert len({reason.code for reason in told}) == len(told) == NOTICES_MAX
