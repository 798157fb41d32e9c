"""The world before the first attempt: everybody who will appear, and what they own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from app.simulator.arrays import DAY_MS, Floats, Ints, Random, chance, concat, draw, draw_grouped
from app.simulator.campaigns import PATTERNS, Campaigns, plan_campaigns
from app.simulator.config import SimulatorConfig
from app.simulator.geography import Geography, lay_out
from app.simulator.instruments import (
    Bins,
    Networks,
    draw_bins,
    draw_cards,
    draw_networks,
    launch_bins,
)
from app.simulator.merchants import CATEGORIES, Merchants, draw_merchants
from app.simulator.people import (
    FAVOURITES,
    Accounts,
    Devices,
    Owned,
    draw_customers,
    draw_devices,
    draw_domains,
    draw_owned,
)

__all__ = ["Agents", "Layout", "World", "build_world"]

_CARRIER_ADDRESSES = 0.12  # shared mobile addresses, for each customer
_AGENTS_PER_MERCHANT = 0.04
_LOCAL_SHARE = 0.85  # of the favourites lie in the customer's home region


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """Those who buy for others, genuinely: travel agencies, ticket desks, top-up kiosks.

    One device and one address with many cards: what a card tester looks like from afar. One row
    an agent.
    """

    merchant: Ints
    since_ms: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the parts of the tables begin.

    Accounts: customers, crews. Devices: customers', agents', crews'. Networks: one home address
    a customer, the carriers' shared addresses by country, agents', crews'.

    Attributes:
        carrier: first shared address, one entry a country.
        carriers: number of shared addresses, one entry a country.
        agent_device: first device of the agents.
        agent_network: first address of the agents.
        crew_account: first account of the fraudsters.
        crew_device: first device of the fraudsters.
        crew_network: first address of the fraudsters.
    """

    carrier: Ints
    carriers: Ints
    agent_device: int
    agent_network: int
    crew_account: int
    crew_device: int
    crew_network: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All tables, and the fraud that is planned in them.

    Attributes:
        newcomers: as `SimulatorConfig.newcomers`.
    """

    geography: Geography
    merchants: Merchants
    campaigns: Campaigns
    accounts: Accounts
    bins: Bins
    cards: Owned
    card_bin: Ints
    owned_devices: Owned
    devices: Devices
    networks: Networks
    agents: Agents
    layout: Layout
    newcomers: bool


def build_world(rng: Random, config: SimulatorConfig) -> World:
    """Draw the whole world of a simulation."""
    geography = lay_out(config)
    merchants = draw_merchants(rng, config, geography)
    campaigns = plan_campaigns(rng, config, geography, merchants)
    customers = draw_customers(
        rng, config, geography, partial(_choose_favourites, rng, geography, merchants)
    )
    people = len(customers.country)
    bins = draw_bins(rng, geography)
    cards = draw_owned(rng, config, accounts=people, further=0.5, new_share=0.25)
    owned_devices = draw_owned(rng, config, accounts=people, further=0.8, new_share=0.5)
    agents = _draw_agents(rng, config, merchants)
    crew = _crew_countries(rng, geography, campaigns)
    carriers = 20 + (geography.weight * people * _CARRIER_ADDRESSES).astype(np.int64)
    honest = np.concatenate(
        [
            customers.country,
            np.repeat(np.arange(len(carriers)), carriers),
            merchants.country[agents.merchant],
        ]
    )
    honest_devices = len(owned_devices.owner) + len(agents.merchant)
    world = World(
        geography=geography,
        merchants=merchants,
        campaigns=campaigns,
        accounts=concat([customers, _draw_crew_accounts(rng, campaigns, crew)]),
        bins=bins,
        cards=cards,
        card_bin=draw_cards(rng, geography, bins, customers.country[cards.owner]),
        owned_devices=owned_devices,
        devices=concat(
            [
                draw_devices(rng, honest_devices, emulator_share=0.006),
                draw_devices(rng, len(crew), emulator_share=_emulated(campaigns)),
            ]
        ),
        networks=concat(
            [
                draw_networks(rng, geography, honest, proxy_share=0.015),
                draw_networks(rng, geography, crew, proxy_share=0.04),
            ]
        ),
        agents=agents,
        layout=Layout(
            carrier=people + np.cumsum(carriers) - carriers,
            carriers=carriers,
            agent_device=len(owned_devices.owner),
            agent_network=people + int(carriers.sum()),
            crew_account=people,
            crew_device=honest_devices,
            crew_network=len(honest),
        ),
        newcomers=config.newcomers,
    )
    return _with_launches(rng, config, world) if config.newcomers else world


def _with_launches(rng: Random, config: SimulatorConfig, world: World) -> World:
    """Number ranges that issuers launch, and the new cards from them."""
    in_use_ms = np.maximum(world.cards.since_ms, world.accounts.joined_ms[world.cards.owner])
    bins, card_bin = launch_bins(rng, config, world.bins, world.card_bin, in_use_ms)
    return replace(world, bins=bins, card_bin=card_bin)


def _choose_favourites(
    rng: Random, geography: Geography, merchants: Merchants, country: Ints
) -> Ints:
    """Favourite merchants for a customer of each country, mostly of the home region."""
    region = np.repeat(geography.region[country], FAVOURITES)
    local = draw_grouped(rng, merchants.popularity, geography.region[merchants.country], region)
    anywhere = draw(rng, merchants.popularity, len(region))
    chosen = np.where(chance(rng, _LOCAL_SHARE, len(region)), local, anywhere)
    return chosen.reshape(-1, FAVOURITES)


def _draw_agents(rng: Random, config: SimulatorConfig, merchants: Merchants) -> Agents:
    """Agents buy online from open merchants; a third of them begin during the simulation."""
    count = 2 + int(len(merchants.country) * _AGENTS_PER_MERCHANT)
    online = np.array([category.in_store == 0 for category in CATEGORIES])[merchants.category]
    usable = merchants.popularity**0.5 * merchants.established
    beginning = chance(rng, 1 / 3, count)
    return Agents(
        merchant=draw(rng, usable * online if (usable * online).any() else usable, count),
        since_ms=np.where(
            beginning, rng.integers(config.start_ms, config.end_ms, count), config.start_ms - 1
        ),
    )


def _crew_countries(rng: Random, geography: Geography, campaigns: Campaigns) -> Ints:
    """Where each crew member's address appears to be: mostly where the victims live."""
    home = np.repeat(campaigns.country, campaigns.crew)
    elsewhere = draw(rng, geography.weight, len(home))
    return np.where(chance(rng, 0.9, len(home)), home, elsewhere)


def _emulated(campaigns: Campaigns) -> Floats:
    """Probability that each crew member's device is an emulator."""
    farm = np.repeat(campaigns.pattern == PATTERNS.index("device_farm"), campaigns.crew)
    return np.where(farm, 0.6, 0.02)


def _draw_crew_accounts(rng: Random, campaigns: Campaigns, country: Ints) -> Accounts:
    """One account a crew member: often an old one, bought; no customer uses it."""
    count = len(country)
    start_ms = np.repeat(campaigns.start_ms, campaigns.crew)
    # A farm opens its accounts itself, days before.
    opened = np.repeat(campaigns.pattern == PATTERNS.index("device_farm"), campaigns.crew)
    age_days = np.where(
        opened, rng.lognormal(np.log(3), 0.8, count), rng.lognormal(5.2, 1.5, count)
    )
    nothing = np.zeros(count, dtype=np.int64)
    return Accounts(
        country=country,
        # A day at least: a campaign over days begins at the midnight before its start.
        created_ms=start_ms - DAY_MS - (age_days * DAY_MS).astype(np.int64),
        joined_ms=start_ms,
        settled=np.zeros(count, dtype=np.bool_),
        domain=draw_domains(rng, count),
        level=np.ones(count),
        activity=np.zeros(count),
        favourites=np.zeros((count, FAVOURITES), dtype=np.int64),
        travel_from_ms=nothing,
        travel_until_ms=nothing,
        travel_country=country,
    )
