"""The fingerprint of a history is of its values: any other value changes it, the file does not."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from app.features.directory import MerchantEntry
from app.features.events import Counted
from app.models.training.fingerprint import fingerprint
from app.models.training.follow_ups import FollowUps
from app.models.training.history import NEVER_MS, History

RECEIVED_MS = np.array([1_000, 2_000, 3_000, 4_000])
LATER = FollowUps(
    attempt=np.array([0, 2]),
    at_ms=np.array([1_500, 3_500]),
    known_ms=np.array([1_500, 3_600]),
    what=np.array([int(Counted.AUTHORISED), int(Counted.ISSUER_DECLINED)]),
)
COLUMNS = {
    "attempt_id": ["a", "b", "c", "d"],
    "instrument__token": ["t1", "t2", "t1", None],
    "basket__items": [1, None, 3, 0],
    "network__proxy": [True, False, None, None],
    "customer__account_created_at": pa.array([5, None, 7, 8], pa.timestamp("ms", tz="UTC")),
}


def history(**changed):
    attempts = pa.table(COLUMNS | changed.pop("columns", {}))
    known = {
        "received_ms": RECEIVED_MS,
        "amount_ref": np.array([10, 20, 30, 40]),
        "fraud": np.array([False, True, False, False]),
        "labelled_ms": np.array([NEVER_MS, 9_000, NEVER_MS, NEVER_MS]),
        "merchants": {"m": MerchantEntry(tier="standard", category="travel", country="US")},
        "provenance": "simulated",
        "later": LATER,
    }
    return History(attempts=attempts, **(known | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"received_ms": RECEIVED_MS + 1},
        {"amount_ref": np.array([10, 20, 30, 41])},
        {"fraud": np.array([True, True, False, False])},
        {"labelled_ms": np.array([NEVER_MS, 9_001, NEVER_MS, NEVER_MS])},
        {"merchants": {"m": MerchantEntry(tier="standard", category="travel", country="DE")}},
        {"later": replace(LATER, at_ms=np.array([1_500, 3_501]))},
        {"later": replace(LATER, known_ms=np.array([1_500, 3_601]))},
        {"later": replace(LATER, what=LATER.what[::-1])},
        {"later": LATER.of(np.array([0]))},
        {"columns": {"instrument__token": ["t1", "t2", "t3", None]}},
        {"columns": {"instrument__token": ["t1", "t2", "t1", "t1"]}},
        {"columns": {"basket__items": [1, 0, 3, 0]}},
        {"columns": {"network__proxy": [True, False, False, None]}},
        {"columns": {"device__id": ["d", None, None, None]}},
    ],
)
def test_another_value_is_another_fingerprint(changed):
    assert fingerprint(history(**changed)) != fingerprint(history())


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": {"attempt_id": ["w", "x", "y", "z"]}},
        {"columns": {"device__id": pa.nulls(4, pa.string())}},
        {"columns": {"instrument__token": pa.array(["t1", "t2", "t1", None]).dictionary_encode()}},
        {
            "columns": {
                "instrument__token": pa.DictionaryArray.from_arrays(
                    [2, 1, 2, None], ["another's", "t2", "t1"]
                )
            }
        },
        {"columns": {"basket__items": pa.chunked_array([[1, None], [3, 0]])}},
        {"later": LATER.of(np.array([1, 0]))},
    ],
)
def test_how_the_same_values_are_kept_does_not_matter(changed):
    assert fingerprint(history(**changed)) == fingerprint(history())
