"""From an attempt to the row that a model scores, in the order of `app.features.spec`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from app.candidate import Candidate
from app.features.online import OnlineStore, Streaming
from app.features.snapshot import Snapshot
from app.features.spec import BATCH, NUMBERS, RATIOS, REQUEST_NUMBERS
from fallback.deadline import Deadline
from fallback.errors import FeaturesStale, SnapshotUnavailable

__all__ = [
    "ABSENT",
    "BatchFeatures",
    "FullFeatures",
    "Row",
    "request_categories",
    "request_numbers",
]

# Category of a value that the caller did not send.
ABSENT = b"absent"
NAN = float("nan")
_MEAN_AT = next(at for at, feature in enumerate(BATCH) if feature.name == "card_amount_mean_30d")
_BATCH_END = len(REQUEST_NUMBERS) + len(BATCH) + len(RATIOS)


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt's inputs.

    Attributes:
        numbers: float32, shape (numbers of the model,).
        categories: bytes, one per category of the model.
        snapshot_version: of the snapshot that was read.
        streaming: what the counters said; None on the batch rung.
    """

    numbers: npt.NDArray[np.float32]
    categories: list[bytes]
    snapshot_version: str
    streaming: Streaming | None


class BatchFeatures:
    """Request and snapshot: the inputs of the batch rung."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        *,
        now_ms: Callable[[], int],
        age_max_ms: float,
    ) -> None:
        """Make the reader.

        Args:
            snapshot: the snapshot in force.
            now_ms: wall clock, ms since the epoch.
            age_max_ms: age from which the snapshot is stale.
        """
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._age_max_ms = age_max_ms

    async def read(self, candidate: Candidate, deadline: Deadline) -> Row:  # noqa: ARG002
        """Gather the row; no I/O that can wait.

        Raises:
            SnapshotUnavailable: there is no snapshot.
            FeaturesStale: it is too old.
        """
        return self.row(candidate)

    def row(self, candidate: Candidate) -> Row:
        """As `read`, for callers that are not coroutines."""
        snapshot = self._snapshot()
        if snapshot is None:
            raise SnapshotUnavailable("there is no snapshot")
        if self._now_ms() - snapshot.as_of_ms > self._age_max_ms:
            raise FeaturesStale("the snapshot is older than its bound")
        values, states = snapshot.read(candidate.tenant, candidate.ids)
        numbers = np.empty(_BATCH_END, dtype=np.float32)
        known = len(REQUEST_NUMBERS)
        numbers[:known] = request_numbers(candidate)
        numbers[known : known + len(BATCH)] = values
        numbers[known + len(BATCH)] = amount_ratio(numbers[0], values[_MEAN_AT])
        return Row(numbers, [*request_categories(candidate), *states], snapshot.version, None)


class FullFeatures:
    """Request, snapshot and streaming counters: the inputs of the full rung."""

    def __init__(self, batch: BatchFeatures, store: OnlineStore) -> None:
        self._batch = batch
        self._store = store

    async def read(self, candidate: Candidate, deadline: Deadline) -> Row:
        """Gather the row; waits for the counters.

        Raises:
            RungError: the snapshot or the counters cannot be used.
        """
        base = self._batch.row(candidate)  # first: it is free, and without it the read is in vain
        streaming = await self._store.read(candidate.tenant, candidate.ids, deadline)
        numbers = np.empty(len(NUMBERS), dtype=np.float32)
        numbers[:_BATCH_END] = base.numbers
        numbers[_BATCH_END:] = streaming.values
        categories = [*base.categories, *streaming.states]
        return Row(numbers, categories, base.snapshot_version, streaming)


def request_numbers(candidate: Candidate) -> tuple[float, ...]:
    """Numeric request inputs, in the order of `spec.REQUEST_NUMBERS`; NaN where not sent."""
    attempt = candidate.attempt
    return (
        _number(candidate.amount_ref),
        _number(candidate.account_age_days),
        _number(attempt.basket.items),
        _number(attempt.basket.gift_cards),
        _number(attempt.device.emulator),
        _number(attempt.network.proxy),
        _differ(attempt.network.ip_country, attempt.instrument.issuer_country),
        _differ(attempt.address.shipping_country, attempt.address.billing_country),
    )


def request_categories(candidate: Candidate) -> tuple[bytes, ...]:
    """Request categories, in the order of `spec.REQUEST_CATEGORIES`."""
    attempt, merchant = candidate.attempt, candidate.merchant
    return (
        ABSENT if merchant is None else merchant.category.encode(),
        ABSENT if merchant is None else merchant.country.encode(),
        _category(attempt.transaction.channel),
        _category(attempt.transaction.entry_mode),
        _category(attempt.instrument.funding),
        _category(attempt.instrument.issuer_country),
        _category(attempt.device.kind),
        _category(attempt.customer.email_domain),
    )


def amount_ratio(amount: np.float32, mean: np.float32) -> np.float32:
    """Amount over the card's mean, both float32, so that training and serving round alike."""
    return np.float32(amount / mean) if mean > 0 else np.float32(NAN)


def _number(value: float | bool | UnsetType | None) -> float:
    return NAN if value is None or isinstance(value, UnsetType) else float(value)


def _differ(one: str | UnsetType, other: str | UnsetType) -> float:
    if one is UNSET or other is UNSET:
        return NAN
    return float(one != other)


def _category(value: str | UnsetType) -> bytes:
    return ABSENT if isinstance(value, UnsetType) else value.encode()
