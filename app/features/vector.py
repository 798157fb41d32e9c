"""From an attempt to the row that a model scores, in the order of its feature set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from app.candidate import Candidate
from app.coalesce import Coalescer
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
BATCH_MAX = 128
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A candidate with its own request inputs."""

    candidate: Candidate
    numbers: tuple[float, ...]
    categories: tuple[bytes, ...]


class BatchFeatures:
    """Request and snapshot: the inputs of the batch rung.

    Rows of the same loop turn are made together: a formula costs per call and not per row.
    """

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
        self._ratio_at = features.numbers.index(RATIO_INPUT_EOD)
        self._now_ms = now_ms
        self._age_max_ms = age_max_ms
        self._rows: Coalescer[_Asked, Row] = Coalescer(self._made, batch_max=BATCH_MAX)

    async def read(self, candidate: Candidate, deadline: Deadline) -> Row:  # noqa: ARG002
        """Gather the row; no I/O that can wait.

        Raises:
            SnapshotUnavailable: there is no snapshot.
            FeaturesStale: it is too old.
        """
        return await self.submit(candidate)

    def submit(self, candidate: Candidate) -> asyncio.Future[Row]:
        """As `read`, with the others of this turn; await the future for the row.

        Raises:
            SnapshotUnavailable: there is no snapshot.
            FeaturesStale: it is too old.
        """
        self._usable()
        return self._rows.submit(_asked(candidate))

    def row(self, candidate: Candidate) -> Row:
        """As `read`, for callers that are not coroutines."""
        return self._made([_asked(candidate)])[0]

    def _usable(self) -> Snapshot:
        snapshot = self._snapshot()
        if snapshot is None:
            raise SnapshotUnavailable("there is no snapshot")
        if self._now_ms() - snapshot.as_of_ms > self._age_max_ms:
            raise FeaturesStale("the snapshot is older than its bound")
        return snapshot

    def _made(self, asked: list[_Asked]) -> list[Row]:
        snapshot = self._usable()
        candidates = [one.candidate for one in asked]
        values, states = snapshot.read_many([(one.tenant, one.ids) for one in candidates])
        inputs = self._formulas.inputs(
            values,
            amount=np.array([amount_of(one) for one in candidates]),
            now_ms=np.array([one.received_ms for one in candidates]),
        )
        requested = np.array([one.numbers for one in asked], dtype=np.float32)
        numbers = np.concatenate([requested, inputs], axis=1)
        large = numbers[:, self._ratio_at] > LARGE_RATIO
        return [
            Row(of_row, [*one.categories, *state], snapshot.version, None, above)
            for of_row, one, state, above in zip(
                numbers, asked, states, large.tolist(), strict=True
            )
        ]


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
        # The snapshot comes first: it is free, and without it the read is in vain. The row is
        # made while the counters are on their way.
        making = self._batch.submit(candidate)
        streaming = await self._store.read(
            candidate.tenant,
            candidate.ids,
            deadline,
            amount=amount_of(candidate),
            as_of_ms=self._as_of_ms(candidate.received_ms),
        )
        if missing := streaming.missing.difference(self._masked()):
            raise SourceUnavailable(f"counters are missing for {', '.join(sorted(missing))}")
        base = await making
        numbers = np.concatenate([base.numbers, (streaming.regions_present,), streaming.inputs])
        large = is_large(float(numbers[self._ratio_at]), float(numbers[self._ratio_eod_at]))
        return Row(
            numbers.astype(np.float32, copy=False),
            [*base.categories, *streaming.states],
            base.snapshot_version,
            streaming,
            large,
        )


def _asked(candidate: Candidate) -> _Asked:
    """What is asked for; whatever is wrong with one candidate stays out of the batch."""
    return _Asked(candidate, request_numbers(candidate), request_categories(candidate))


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
