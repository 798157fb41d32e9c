"""Asks Stepdown's regions for decisions on payment attempts.

Nearest region first, another one within the caller's deadline, and a signed, capped default at
last. See README.md.
"""

from __future__ import annotations

from stepdown_client.answer import CLIENT_DEFAULT, Answer
from stepdown_client.attempt import (
    Address,
    Amount,
    Attempt,
    Basket,
    Customer,
    Device,
    Instrument,
    Merchant,
    Network,
    ThreeDs,
    Transaction,
)
from stepdown_client.client import StepdownClient
from stepdown_client.errors import (
    InvalidAttemptError,
    RefusedError,
    RoutingError,
    StepdownError,
)
from stepdown_client.settings import ClientSettings, EjectionPolicy
from stepdown_client.stats import ClientStats, RegionStats
from stepdown_client.sync import SyncStepdownClient

__all__ = [
    "CLIENT_DEFAULT",
    "Address",
    "Amount",
    "Answer",
    "Attempt",
    "Basket",
    "ClientSettings",
    "ClientStats",
    "Customer",
    "Device",
    "EjectionPolicy",
    "Instrument",
    "InvalidAttemptError",
    "Merchant",
    "Network",
    "RefusedError",
    "RegionStats",
    "RoutingError",
    "StepdownClient",
    "StepdownError",
    "SyncStepdownClient",
    "ThreeDs",
    "Transaction",
]
