"""Building a snapshot: rows in any order, bounded to the entities that matter, said in the facts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.features.reference import REFERENCE
from app.features.rings import Ring
from app.features.snapshot import load_snapshot, publish_snapshot
from app.features.snapshot_rows import Bound
from app.features.spec import DAY_MS, Counter, Entity
from app.publish import PublicationError

COLUMNS = {Entity.CARD: ("attempted_30d", "last_seen"), Entity.MERCHANT: ("fraud_7d",)}
FEATURES = replace(
    REFERENCE,
    schema=1,
    batch_features=(),
    batch_counters=tuple(
        Counter(
            name=name,
            entity=entity,
            ring=Ring(window_ms=DAY_MS),
        )
        for entity, names in COLUMNS.items()
        for name in names
    ),
)


def put(folder, batches, **more):
    return publish_snapshot(
        folder,
        tenant="t",
        schema=1,
        columns=COLUMNS,
        batches=batches,
        as_of_ms=1_000,
        wall=lambda: 2.0,
        **more,
    )


def built(folder, batches, **more):
    return load_snapshot(folder, put(folder, batches, **more), features=FEATURES)


def cards(*rows):
    return (
        Entity.CARD,
        [id for id, *_ in rows],
        np.array([values for _, *values in rows], dtype=np.float64),
    )


def kept(snapshot, ids):
    return {id for id in ids if snapshot.read("t", {Entity.CARD: id})[1][0] == b"present"}


def test_batches_of_entities_come_in_any_order(tmp_path):
    merchants = (Entity.MERCHANT, ["zz", "b"], np.array([[8.0], [9.0]]))
    snapshot = built(tmp_path, [cards(("c2", 2, 2)), merchants, cards(("c10", 1, 1))])
    values, _ = snapshot.read("t", {Entity.CARD: "c10", Entity.MERCHANT: "b"})
    assert values.tolist() == [1.0, 1.0, 9.0]


def test_every_row_of_a_large_batch_is_found_again(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.random((250_000, 2))
    ids = [f"{number:x}" for number in rng.permutation(len(values))]
    snapshot = built(tmp_path, [(Entity.CARD, ids, values)])
    for at in rng.integers(0, len(ids), 500).tolist():
        found, _ = snapshot.read("t", {Entity.CARD: ids[at]})
        assert found[:2].tolist() == values[at].tolist()


def test_a_column_of_another_library_is_taken_as_it_is(tmp_path):
    class Column:
        def to_pylist(self):
            return ["c1"]

    snapshot = built(tmp_path, [(Entity.CARD, Column(), np.array([[4.0, 4.0]]))])
    assert kept(snapshot, ["c1"]) == {"c1"}


def test_the_facts_say_what_it_is(tmp_path):
    facts = built(tmp_path, [cards(("c1", 1, 1), ("c2", 2, 2))]).facts
    assert (facts.as_of_ms, facts.built_ms, facts.schema) == (1_000, 2_000, 1)
    assert facts.columns == {"card": ["attempted_30d", "last_seen"], "merchant": ["fraud_7d"]}
    assert facts.rows == {"card": 2, "merchant": 0}
    assert facts.left_out == {"card": 0, "merchant": 0}
    assert facts.left_out_reads_as == "never_seen"


def test_a_bound_keeps_the_highest_ranked_and_counts_the_others(tmp_path):
    rows = [("a", 9, 1), ("b", 1, 5), ("c", 5, 4), ("d", 7, float("nan"))]
    bounds = {Entity.CARD: Bound(rows_max=2, by="last_seen")}
    snapshot = built(tmp_path, [cards(*rows)], bounds=bounds)
    assert kept(snapshot, "abcd") == {"b", "c"}
    assert snapshot.facts.rows["card"] == 2
    assert snapshot.facts.left_out["card"] == 2


def test_an_entity_that_was_left_out_reads_as_never_seen(tmp_path):
    bounds = {Entity.CARD: Bound(rows_max=1, by="last_seen")}
    snapshot = built(tmp_path, [cards(("a", 1, 1), ("b", 1, 2))], bounds=bounds)
    values, states = snapshot.read("t", {Entity.CARD: "a"})
    assert states[0] == snapshot.facts.left_out_reads_as.encode() == b"never_seen"
    assert np.isnan(values).all()


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_the_same_entities_stay_however_they_are_batched(tmp_path, batch_rows):
    ranks = np.random.default_rng(4).integers(0, 50, 1_000)  # many equals
    rows = [(f"c{at}", 1, rank) for at, rank in enumerate(ranks.tolist())]
    bounds = {Entity.CARD: Bound(rows_max=100, by="last_seen")}
    batches = [cards(*rows[at : at + batch_rows]) for at in range(0, 1_000, batch_rows)]
    snapshot = built(tmp_path, batches, bounds=bounds)
    best = sorted(range(1_000), key=lambda at: (-ranks[at], at))[:100]
    assert kept(snapshot, [id for id, *_ in rows]) == {f"c{at}" for at in best}
    assert snapshot.facts.left_out["card"] == 900


def test_a_bound_is_at_least_one_row():
    with pytest.raises(ValueError, match="at least 1 row"):
        Bound(rows_max=0, by="last_seen")


def test_an_id_that_comes_twice_is_told_and_nothing_is_published(tmp_path):
    with pytest.raises(PublicationError, match=r"t:card:c1 comes twice"):
        put(tmp_path, [cards(("c1", 1, 1)), cards(("c2", 2, 2), ("c1", 3, 3))])
    assert list(tmp_path.iterdir()) == []


def test_values_that_do_not_fit_the_columns_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"1 ids and 2 columns, but values of shape \(1, 3\)"):
        put(tmp_path, [(Entity.CARD, ["c1"], np.ones((1, 3)))])


def test_a_key_that_the_file_cannot_hold_is_told(tmp_path):
    with pytest.raises(PublicationError, match="the snapshot cannot be written"):
        put(tmp_path, [cards(("c" * 600, 1, 1))])


def test_progress_is_told_for_reading_and_writing(tmp_path):
    told = []
    put(
        tmp_path,
        [cards(("c1", 1, 1)), cards(("c2", 2, 2), ("c3", 3, 3))],
        progress=lambda what, rows: told.append((what, rows)),
    )
    assert told == [("read", 1), ("read", 3), ("written", 3)]
