"""Reason codes: each has a sentence, known or not."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from app.api.wire import ReasonText
from app.record.reasons import CATALOGUE, MODEL_RISK, described
from app.rulebook import DEFAULT_RULES
from fallback.rungs.tier_default import STANDING_POLICY


def test_a_known_code_has_its_sentence():
    assert described(["EMULATOR"]) == [
        ReasonText(code="EMULATOR", text="The device is an emulator.")
    ]


def test_the_order_is_kept():
    codes = ["VELOCITY_IP", "AMOUNT_UNUSUAL"]
    assert [reason.code for reason in described(codes)] == codes


def test_a_code_that_a_rule_file_made_up_speaks_for_itself():
    assert described(["TOO_GOOD_TO_BE_TRUE"])[0].text == "Too good to be true."


def test_every_code_of_the_service_itself_has_a_sentence():
    rules = yaml.safe_load(DEFAULT_RULES.read_text())["rules"]
    codes = {MODEL_RISK, STANDING_POLICY, *(rule["reason"] for rule in rules)}
    assert codes <= CATALOGUE.keys()


@pytest.mark.parametrize("sentence", CATALOGUE.values())
def test_a_sentence_is_one(sentence):
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert msgspec.json.decode(msgspec.json.encode(sentence)) == sentence
