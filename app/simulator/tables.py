"""Attempts as an Arrow table: the columns of the wire, under the names the files keep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.simulator.arrays import Bools, Ints
from app.simulator.attempts import Attempts
from app.simulator.campaigns import PATTERNS
from app.simulator.checks import AVS, CVV, ECIS, THREE_DS_STATUSES, Checks
from app.simulator.config import SimulatorConfig
from app.simulator.details import CHANNELS, DELIVERIES, ENTRY_MODES, KINDS, Details
from app.simulator.ids import opaque_ids
from app.simulator.instruments import BRANDS, FUNDINGS
from app.simulator.people import BROWSERS, DEVICE_KINDS, DOMAINS, OSES
from app.simulator.world import World

__all__ = ["attempts_table", "instants", "words"]

_INSTANT = pa.timestamp("ms", tz="UTC")


def attempts_table(
    config: SimulatorConfig,
    world: World,
    attempts: Attempts,
    *,
    details: Details,
    checks: Checks,
    rows: Ints,
) -> pa.Table:
    """The attempts as the files keep them; `rows` numbers them over the whole simulation.

    Columns are the wire's fields, a dot written as two underscores, and the truth (`fraud`,
    `fraud_pattern`), which no request holds.
    """
    fraud = attempts.pattern > 0
    cents = np.where(details.kind == KINDS.index("verification"), 0, attempts.cents)
    columns: dict[str, pa.Array] = {
        "attempt_id": opaque_ids("att_", config.seed, rows),
        "received_at": instants(attempts.at_ms),
        "region": words([mix.name for mix in config.regions], details.region),
        "amount__value": pa.array(cents),
        "amount__currency": words(["USD"], np.zeros(len(rows), dtype=np.int64)),
        "amount_ref": pa.array(cents),
        "merchant__id": opaque_ids("mer_", config.seed, attempts.merchant),
        "merchant__terminal_id": _known(
            opaque_ids("ter_", config.seed, details.terminal), details.has_terminal
        ),
        **_instrument(config, world, attempts, details),
        "transaction__kind": words(KINDS, details.kind),
        "transaction__channel": words(CHANNELS, details.channel),
        "transaction__entry_mode": words(ENTRY_MODES, details.entry_mode, details.has_entry_mode),
        **_checks(checks),
        **_customer(config, world, attempts, details=details, checks=checks),
        **_origin(config, world, attempts, details),
        "address__billing_country": words(
            world.geography.codes, details.billing_country, details.has_billing
        ),
        "address__shipping_country": words(
            world.geography.codes, details.shipping_country, details.has_shipping
        ),
        "address__shipping_matches_billing": pa.array(
            details.same_address, mask=~(details.has_shipping & details.has_billing)
        ),
        "address__delivery": words(DELIVERIES, details.delivery, details.has_network),
        "basket__items": pa.array(details.items, mask=~details.has_basket),
        "basket__gift_cards": pa.array(details.gift_cards, mask=~details.has_basket),
        "fraud": pa.array(fraud),
        "fraud_pattern": words(PATTERNS, attempts.pattern, fraud),
    }
    return pa.table(columns)


def _instrument(
    config: SimulatorConfig, world: World, attempts: Attempts, details: Details
) -> dict[str, pa.Array]:
    """Columns of the card."""
    bins, row = world.bins, world.card_bin[attempts.card]
    numbers = [str(number) for number in bins.number.tolist()]
    return {
        "instrument__token": opaque_ids("tok_", config.seed, attempts.card),
        "instrument__bin": words(numbers, row, details.has_bin),
        "instrument__brand": words(BRANDS, bins.brand[row]),
        "instrument__funding": words(FUNDINGS, bins.funding[row], details.has_bin),
        "instrument__issuer_country": words(
            world.geography.codes, bins.country[row], details.has_bin
        ),
    }


def _checks(checks: Checks) -> dict[str, pa.Array]:
    """Columns of what checked the payer."""
    authenticated = checks.has_three_ds
    version = np.zeros(len(checks.avs), dtype=np.int64)
    return {
        "transaction__avs": words(AVS, checks.avs, checks.has_avs),
        "transaction__cvv": words(CVV, checks.cvv, checks.has_cvv),
        "transaction__three_ds__version": words(["2.2.0"], version, authenticated),
        "transaction__three_ds__status": words(THREE_DS_STATUSES, checks.status, authenticated),
        "transaction__three_ds__eci": words(ECIS, checks.eci, authenticated),
        "transaction__three_ds__liability_shift": pa.array(checks.shifted, mask=~authenticated),
    }


def _customer(
    config: SimulatorConfig, world: World, attempts: Attempts, *, details: Details, checks: Checks
) -> dict[str, pa.Array]:
    """Columns of the account; a guest has none but the e-mail address."""
    account = attempts.account
    return {
        "customer__id": _known(opaque_ids("cus_", config.seed, account), details.has_customer),
        "customer__account_created_at": instants(
            world.accounts.created_ms[account], checks.has_created
        ),
        "customer__email_hash": _known(
            opaque_ids("eml_", config.seed, details.email), details.has_email
        ),
        "customer__email_domain": words(
            DOMAINS, world.accounts.domain[details.email], details.has_email
        ),
        "attributes__password_age_days": pa.array(
            checks.password_age_days, mask=~checks.has_password_age
        ),
        "attributes__email_age_days": pa.array(checks.email_age_days, mask=~checks.has_email_age),
    }


def _origin(
    config: SimulatorConfig, world: World, attempts: Attempts, details: Details
) -> dict[str, pa.Array]:
    """Columns of the device and the address."""
    devices, device, seen = world.devices, attempts.device, details.has_device
    networks, network, routed = world.networks, attempts.network, details.has_network
    return {
        "device__id": _known(opaque_ids("dev_", config.seed, device), seen),
        "device__kind": words(DEVICE_KINDS, devices.kind[device], seen),
        "device__os": words(OSES, devices.os[device], seen),
        "device__browser": words(BROWSERS, devices.browser[device], seen),
        "device__emulator": pa.array(devices.emulator[device], mask=~seen),
        "network__ip_hash": _known(opaque_ids("ip_", config.seed, network), routed),
        "network__ip_country": words(world.geography.codes, networks.country[network], routed),
        "network__ip_asn": pa.array(networks.asn[network], mask=~routed),
        "network__proxy": pa.array(networks.proxy[network], mask=~routed),
    }


def instants(ms: Ints, known: Bools | None = None) -> pa.Array:
    """UTC timestamps of millisecond resolution, null where not known."""
    return pa.array(ms, mask=None if known is None else ~known).cast(_INSTANT)


def words(table: Sequence[str], rows: Ints, known: Bools | None = None) -> pa.Array:
    """The words at the given positions, null where not known."""
    return pa.array(table, pa.string()).take(pa.array(rows, mask=None if known is None else ~known))


def _known(values: pa.Array, known: Bools) -> pa.Array:
    """The values, null where not known."""
    return pc.if_else(pa.array(known), values, None)
