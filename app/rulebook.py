"""Loads the rule file and its named lists into a `fallback.rules.RuleSet`.

A file either loads as a whole or is refused with one sentence that names the file, the rule and
the character: whoever reloads keeps the last rule set that loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from app.documents import DocumentError, read_document, read_text
from fallback.grammar import GrammarError
from fallback.predicate import InputType, compile_expression
from fallback.rules import Rule, RuleSet
from fallback.rung import Action

__all__ = ["DEFAULT_RULES", "INPUTS", "RULES_MAX", "load_rules"]

DEFAULT_RULES: Final = Path(__file__).parent / "defaults" / "rules.yaml"
"""The rule file of a first day."""

RULES_MAX: Final = 200
"""Rules in one file; at a microsecond or two each they stay far below any deadline."""

INPUTS: Final[Mapping[str, InputType]] = {
    "amount.ref": InputType.NUMBER,  # minor units of the reference currency
    "amount.value": InputType.NUMBER,  # minor units of amount.currency
    "amount.currency": InputType.STRING,
    "merchant.id": InputType.STRING,
    "merchant.tier": InputType.STRING,
    "merchant.category": InputType.STRING,
    "merchant.country": InputType.STRING,
    "merchant.terminal_id": InputType.STRING,
    # of the merchant directory: lists that the merchant is on, exemptions that it has
    "merchant.blocked": InputType.BOOLEAN,
    "merchant.hot": InputType.BOOLEAN,
    "merchant.trusted": InputType.BOOLEAN,
    "merchant.exempt_low_value": InputType.BOOLEAN,
    "merchant.exempt_tra": InputType.BOOLEAN,
    "instrument.bin": InputType.STRING,
    "instrument.brand": InputType.STRING,
    "instrument.funding": InputType.STRING,
    "instrument.issuer_country": InputType.STRING,
    "instrument.network_token": InputType.BOOLEAN,
    "transaction.kind": InputType.STRING,
    "transaction.channel": InputType.STRING,
    "transaction.entry_mode": InputType.STRING,
    "transaction.initiator": InputType.STRING,
    "transaction.instalments": InputType.NUMBER,
    "transaction.avs": InputType.STRING,
    "transaction.cvv": InputType.STRING,
    # false, not absent, when no 3-D Secure data came: no shift is what the merchant then has
    "three_ds.liability_shift": InputType.BOOLEAN,
    "three_ds.eci": InputType.STRING,
    "customer.account_age_days": InputType.NUMBER,
    "customer.email_domain": InputType.STRING,
    "device.kind": InputType.STRING,
    "device.emulator": InputType.BOOLEAN,
    "network.ip_country": InputType.STRING,
    "network.proxy": InputType.BOOLEAN,
    "address.billing_country": InputType.STRING,
    "address.shipping_country": InputType.STRING,
    "address.shipping_matches_billing": InputType.BOOLEAN,
    "basket.items": InputType.NUMBER,
    "basket.gift_cards": InputType.BOOLEAN,
    "tier.amount_high": InputType.NUMBER,  # minor units of the reference currency
    "velocity.card_10s": InputType.NUMBER,  # attempts seen by this process, this one included
    "velocity.device_10s": InputType.NUMBER,
    "velocity.ip_10s": InputType.NUMBER,
    "retry.count": InputType.NUMBER,
}
"""Every input that a rule may name, with its type."""


class _ListEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    optional: bool = False


class _RuleEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    when: str
    then: Action
    reason: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
    weight: Annotated[float, Meta(ge=0, le=1000)] = 1.0


class _RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1)]
    rules: Annotated[list[dict[str, Any]], Meta(max_length=RULES_MAX)]
    lists: dict[Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")], _ListEntry] = {}


def load_rules(path: Path, lists_dir: Path | None = None) -> RuleSet:
    """Load a rule file.

    Args:
        path: the YAML file.
        lists_dir: where the named lists are, `<name>.txt` with one entry a line and `#` comments;
            the folder `lists` beside the file where none is given.

    Raises:
        DocumentError: the file, a rule or a list cannot be used.
    """
    document = read_document(path, _RuleFile)
    lists = _load_lists(path, document.lists, lists_dir or path.parent / "lists")
    rules: dict[str, Rule] = {}
    for number, raw in enumerate(document.rules, start=1):
        rule = _load_rule(path, number, raw, lists)
        if rule.id in rules:
            raise DocumentError(f"{path}: rule {rule.id!r} is there twice")
        rules[rule.id] = rule
    return RuleSet(version=document.version, rules=tuple(rules.values()), lists=lists)


def _load_rule(
    path: Path, number: int, raw: dict[str, Any], lists: Mapping[str, frozenset[str]]
) -> Rule:
    place = f"{path}: rule {raw.get('id', f'number {number}')!r}"
    try:
        entry = msgspec.convert(raw, _RuleEntry)
        predicate = compile_expression(entry.when, inputs=INPUTS, lists=lists)
    except (msgspec.ValidationError, GrammarError) as error:
        raise DocumentError(f"{place}: {error}") from None
    return Rule(
        id=entry.id,
        when=predicate,
        then=entry.then,
        reason=entry.reason,
        weight=entry.weight,
    )


def _load_lists(
    path: Path, declared: Mapping[str, _ListEntry], folder: Path
) -> dict[str, frozenset[str]]:
    """Every list of the folder by name; a declared optional one that is missing is empty."""
    lists = {file.stem: _read_list(file) for file in sorted(folder.glob("*.txt"))}
    for name, entry in declared.items():
        if name in lists:
            continue
        if not entry.optional:
            raise DocumentError(
                f"{path}: list {name!r} is missing: there is no {folder}/{name}.txt"
            )
        lists[name] = frozenset()
    return lists


def _read_list(path: Path) -> frozenset[str]:
    entries = (line.partition("#")[0].strip() for line in read_text(path).splitlines())
    return frozenset(entry for entry in entries if entry)
