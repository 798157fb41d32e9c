"""From an attempt to the row that a model scores, in the order of its feature set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import attrgetter

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from app.candidate import Candidate
from app.features.formulas import Formulas
from app.features.merge import Ask
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
    "stacked",
]

# Category of a value that the caller did not send.
ABSENT = b"absent"
NAN = float("nan")

_sent_numbers = attrgetter("basket.items", "basket.gift_cards", "device.emulator", "network.proxy")
_sent_categories = attrgetter(
    "transaction.channel",
    "transaction.entry_mode",
    "instrument.funding",
    "instrument.issuer_country",
    "device.kind",
    "customer.email_domain",
)


class Row(msgspec.Struct, frozen=True):
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
    """Request and snapshot: the inputs of the batch rung.

    Rows are made together: a formula costs per call and not per row.
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

    async def read(
        self,
        candidates: Sequence[Candidate],
        deadline: Deadline,  # noqa: ARG002  # nothing here waits
    ) -> list[Row | Exception]:
        """Gather rows; no I/O that can wait.

        Raises:
            SnapshotUnavailable: there is no snapshot.
            FeaturesStale: it is too old.
        """
        return self.rows(candidates)

    def rows(self, candidates: Sequence[Candidate]) -> list[Row | Exception]:
        """As `read`, for callers that are not coroutines."""
        snapshot = self.usable()
        try:
            return [*self._rows(snapshot, candidates)]
        except Exception as error:  # noqa: BLE001 - of one of them, not of the others
            if len(candidates) == 1:
                return [error]
            return [row for one in candidates for row in self.rows([one])]

    def _rows(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> list[Row]:
        values, states = snapshot.read_many([(one.tenant, one.ids) for one in candidates])
        inputs = self._formulas.inputs(
            values,
            amount=np.array([amount_of(one) for one in candidates]),
            now_ms=np.array([one.received_ms for one in candidates]),
        )
        requested = np.array([request_numbers(one) for one in candidates], dtype=np.float32)
        numbers = np.concatenate([requested, inputs], axis=1)
        large = numbers[:, self._ratio_at] > LARGE_RATIO
        return [
            Row(of_row, [*request_categories(one), *state], snapshot.version, None, above)
            for of_row, one, state, above in zip(
                numbers, candidates, states, large.tolist(), strict=True
            )
        ]

    def usable(self) -> Snapshot:
        """The snapshot, where it can be used; raises as `read`."""
        snapshot = self._snapshot()
        if snapshot is None:
            raise SnapshotUnavailable("there is no snapshot")
        if self._now_ms() - snapshot.as_of_ms > self._age_max_ms:
            raise FeaturesStale("the snapshot is older than its bound")
        return snapshot


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

    async def read(
        self, candidates: Sequence[Candidate], deadline: Deadline
    ) -> list[Row | Exception]:
        """Gather rows; waits for the counters.

        Raises:
            RungError: the snapshot cannot be used, or too little time is left.
        """
        # The snapshot comes first: it is free, and without it the read is in vain. The rows are
        # made while the counters are on their way.
        self._batch.usable()
        as_of_ms = self._as_of_ms
        reading = self._store.begin(
            [
                Ask(one.tenant, one.ids, amount_of(one), as_of_ms(one.received_ms))
                for one in candidates
            ],
            deadline,
        )
        base = self._batch.rows(candidates)
        streaming = await reading.finish()
        found = [self._found(*one) for one in zip(base, streaming, strict=True)]
        rows = iter(self._rows([one for one in found if isinstance(one, tuple)]))
        return [next(rows) if isinstance(one, tuple) else one for one in found]

    def _found(
        self, base: Row | Exception, streaming: Streaming | Exception
    ) -> tuple[Row, Streaming] | Exception:
        """Both halves of a row, or why it cannot be used."""
        if isinstance(streaming, Exception):
            return streaming
        if isinstance(base, Exception):
            return base
        if streaming.missing and (missing := streaming.missing.difference(self._masked())):
            return SourceUnavailable(f"counters are missing for {', '.join(sorted(missing))}")
        return base, streaming

    def _rows(self, found: Sequence[tuple[Row, Streaming]]) -> list[Row]:
        if not found:
            return []
        numbers = np.concatenate(
            [
                stacked([base.numbers for base, _ in found]),
                np.array([[streaming.regions_present] for _, streaming in found], np.float32),
                stacked([streaming.inputs for _, streaming in found]),
            ],
            axis=1,
        )
        ratio, ratio_eod = numbers[:, self._ratio_at], numbers[:, self._ratio_eod_at]
        large = np.where(np.isnan(ratio), ratio_eod, ratio) > LARGE_RATIO
        return [
            Row(
                of_row,
                [*base.categories, *streaming.states],
                base.snapshot_version,
                streaming,
                above,
            )
            for of_row, (base, streaming), above in zip(numbers, found, large.tolist(), strict=True)
        ]


def stacked(rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Rows of one length as a table, in a third of what `np.stack` takes."""
    return np.concatenate(rows).reshape(len(rows), -1)


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
    age_days, address = candidate.account_age_days, attempt.address
    return (
        amount_of(candidate),
        NAN if age_days is None else age_days,
        *[NAN if value is UNSET else float(value) for value in _sent_numbers(attempt)],
        _differ(attempt.network.ip_country, attempt.instrument.issuer_country),
        _differ(address.shipping_country, address.billing_country),
    )


def request_categories(candidate: Candidate) -> tuple[bytes, ...]:
    """Request categories, in the order of `reference.REQUEST_CATEGORIES`."""
    attempt, merchant = candidate.attempt, candidate.merchant
    return (
        ABSENT if merchant is None else merchant.category.encode(),
        ABSENT if merchant is None else merchant.country.encode(),
        *[ABSENT if value is UNSET else value.encode() for value in _sent_categories(attempt)],
    )


def _differ(one: str | UnsetType, other: str | UnsetType) -> float:
    if one is UNSET or other is UNSET:
        return NAN
    return float(one != other)
