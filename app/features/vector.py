"""From an attempt to the row that a model scores, in the order of its feature set."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from app.candidate import Candidate
from app.features.formulas import Formulas
from app.features.online import OnlineStore, Streaming
from app.features.reference import LARGE_RATIO, RATIO_INPUT, RATIO_INPUT_EOD
from app.features.snapshot import Snapshot
from app.features.spec import FeatureSet
from fallback.deadline import Deadline
from fallback.errors import FeaturesStale, SnapshotUnavailable, SourceUnavailable

__all__ = [
    "ABSENT",
    "BatchFeatures",
    "FullFeatures",
    "Row",
    "is_large",
    "request_categories",
    "request_numbers",
]

# Category of a value that the caller did not send.
ABSENT = b"absent"
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt's inputs.

    Attributes:
        numbers: float32, shape (numbers of the model,).
        categories: bytes, one per category of the model.
        snapshot_version: of the snapshot that was read.
        streaming: what the counters said; None on the batch rung.
        large: whether the amount is far above the card's own mean, as far as the row knows.
    """

    numbers: npt.NDArray[np.float32]
    categories: list[bytes]
    snapshot_version: str
    streaming: Streaming | None
    large: bool


class BatchFeatures:
    """Request and snapshot: the inputs of the batch rung."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        *,
        features: FeatureSet,
        now_ms: Callable[[], int],
        age_max_ms: float,
    ) -> None:
        """Make the reader.

        Args:
            snapshot: the snapshot in force.
            features: what the models see.
            now_ms: wall clock, ms since the epoch.
            age_max_ms: age from which the snapshot is stale.
        """
        self._snapshot = snapshot
        self._formulas = Formulas(features.batch_features, features.snapshot_counters)
        self._requests = len(features.request_numbers)
        self._ratio_at = features.numbers.index(RATIO_INPUT_EOD)
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
        requested = np.array(request_numbers(candidate), dtype=np.float32)
        inputs = self._formulas.inputs(
            values[None, :],
            amount=np.array([amount_of(candidate)]),
            now_ms=np.array([candidate.received_ms]),
        )
        numbers = np.concatenate([requested, inputs[0]])
        categories = [*request_categories(candidate), *states]
        large = is_large(NAN, float(numbers[self._ratio_at]))
        return Row(numbers, categories, snapshot.version, None, large)


class FullFeatures:
    """Request, snapshot and streaming counters: the inputs of the full rung."""

    def __init__(
        self,
        batch: BatchFeatures,
        store: OnlineStore,
        *,
        features: FeatureSet,
        masked: Callable[[], Collection[str]],
        as_of_ms: Callable[[int], int | None] = lambda _received_ms: None,
    ) -> None:
        """Make the reader.

        Args:
            batch: of the other inputs.
            store: of the counters.
            features: what the models see.
            masked: what of the counters the model in force was trained to do without:
                "entities" (a shard is away), "regions" (a region's are).
            as_of_ms: as of when to read the counters for a receipt; see `app.event_time`.
        """
        self._batch = batch
        self._store = store
        self._masked = masked
        self._as_of_ms = as_of_ms
        self._ratio_at = features.numbers.index(RATIO_INPUT)
        self._ratio_eod_at = features.numbers.index(RATIO_INPUT_EOD)

    async def read(self, candidate: Candidate, deadline: Deadline) -> Row:
        """Gather the row; waits for the counters.

        Raises:
            RungError: the snapshot or the counters cannot be used.
        """
        base = self._batch.row(candidate)  # first: it is free, and without it the read is in vain
        streaming = await self._store.read(
            candidate.tenant,
            candidate.ids,
            deadline,
            amount=amount_of(candidate),
            as_of_ms=self._as_of_ms(candidate.received_ms),
        )
        if missing := streaming.missing.difference(self._masked()):
            raise SourceUnavailable(f"counters are missing for {', '.join(sorted(missing))}")
        present = np.array([streaming.regions_present], dtype=np.float32)
        numbers = np.concatenate([base.numbers, present, streaming.inputs])
        categories = [*base.categories, *streaming.states]
        large = is_large(float(numbers[self._ratio_at]), float(numbers[self._ratio_eod_at]))
        return Row(numbers, categories, base.snapshot_version, streaming, large)


def is_large(ratio: float, ratio_eod: float) -> bool:
    """Whether an amount is far above the card's own mean.

    Args:
        ratio: amount over the mean that the counters know; NaN where they know none.
        ratio_eod: the same with last midnight's mean, which then takes its place.
    """
    known = ratio_eod if np.isnan(ratio) else ratio
    return bool(known > LARGE_RATIO)


def amount_of(candidate: Candidate) -> float:
    """Amount in reference minor units; NaN without a rate."""
    return NAN if candidate.amount_ref is None else float(candidate.amount_ref)


def request_numbers(candidate: Candidate) -> tuple[float, ...]:
    """Numeric request inputs, in the order of `reference.REQUEST_NUMBERS`; NaN where not sent."""
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
    """Request categories, in the order of `reference.REQUEST_CATEGORIES`."""
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


def _number(value: float | bool | UnsetType | None) -> float:
    return NAN if value is None or isinstance(value, UnsetType) else float(value)


def _differ(one: str | UnsetType, other: str | UnsetType) -> float:
    if one is UNSET or other is UNSET:
        return NAN
    return float(one != other)


def _category(value: str | UnsetType) -> bytes:
    return ABSENT if isinstance(value, UnsetType) else value.encode()
