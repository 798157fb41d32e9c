"""The local snapshot: read by entity, swapped under load, refused when it is wrong or older."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.features.reference import REFERENCE
from app.features.rings import Ring
from app.features.snapshot import load_snapshot, publish_snapshot
from app.features.spec import DAY_MS, Counter, Entity
from app.publish import PublicationError, Published, publish, roll_back, withdraw
from app.record.signing import FileSigner, Keyring

SCHEMA = 3
COLUMNS = {Entity.CARD: ("attempted_30d", "amount_30d"), Entity.MERCHANT: ("fraud_7d",)}
CARD_ROWS = {"c1": [1.0, 10.0], "c2": [2.0, 0.1]}
MIDNIGHT = 1_700_000_000_000


def features(columns=COLUMNS, schema=SCHEMA):
    """A feature set whose snapshot has these columns."""
    counters = tuple(
        Counter(
            name=name,
            entity=entity,
            ring=Ring(window_ms=DAY_MS),
        )
        for entity, names in columns.items()
        for name in names
    )
    return replace(REFERENCE, schema=schema, batch_counters=counters, batch_features=())


load = partial(load_snapshot, features=features())


def put(folder, *, cards=None, as_of_ms=MIDNIGHT, schema=SCHEMA, columns=COLUMNS, **more):
    cards = CARD_ROWS if cards is None else cards
    return publish_snapshot(
        folder,
        tenant="t",
        schema=schema,
        columns=columns,
        batches=[
            (Entity.CARD, list(cards), np.array(list(cards.values()))),
            (Entity.MERCHANT, ["m1"], np.array([[7.0]])),
        ],
        as_of_ms=as_of_ms,
        wall=lambda: as_of_ms / 1_000 + 60,
        **more,
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "snapshot"


@pytest.fixture
def held(folder):
    return Published(folder, load)


def data_of(folder, version):
    return folder / "versions" / version / "data.mdb"


def test_values_come_in_the_order_of_the_columns_as_they_were_built(folder):
    snapshot = load(folder, put(folder))
    values, states = snapshot.read("t", {Entity.MERCHANT: "m1", Entity.CARD: "c2"})
    assert values.dtype == np.float64
    assert values.tolist() == [2.0, 0.1, 7.0]
    assert states == [b"present", b"present"]


def test_an_entity_without_a_row_was_never_seen_and_one_without_an_id_is_not_mapped(folder):
    values, states = load(folder, put(folder)).read("t", {Entity.CARD: "c9"})
    assert np.isnan(values).all()
    assert states == [b"never_seen", b"not_mapped"]


def test_another_tenant_sees_nothing(folder):
    _, states = load(folder, put(folder)).read("u", {Entity.CARD: "c1", Entity.MERCHANT: "m1"})
    assert states == [b"never_seen", b"never_seen"]


def test_the_values_read_are_the_callers_own(folder):
    snapshot = load(folder, put(folder))
    snapshot.read("t", {Entity.CARD: "c1"})[0][:] = -1
    assert snapshot.read("t", {Entity.CARD: "c1"})[0][0] == 1.0


def test_a_snapshot_says_how_old_it_is(folder):
    snapshot = load(folder, put(folder))
    assert snapshot.as_of_ms == MIDNIGHT
    assert snapshot.age_ms(MIDNIGHT + DAY_MS) == DAY_MS


@pytest.mark.parametrize("cut", [0, 4_096, -1])
def test_a_truncated_file_is_refused_and_the_last_good_one_kept(folder, held, cut):
    put(folder)
    held.refresh()
    version = put(folder, cards={"c3": [3.0, 3.0]}, as_of_ms=MIDNIGHT + DAY_MS)
    data = data_of(folder, version)
    data.write_bytes(data.read_bytes()[:cut])
    held.refresh()
    assert held.refused == f"snapshot {version}: data.mdb is not what was published."
    assert held.value.read("t", {Entity.CARD: "c1"})[0][0] == 1.0


def test_one_flipped_bit_is_refused_and_the_last_good_one_kept(folder, held):
    put(folder)
    held.refresh()
    version = put(folder, as_of_ms=MIDNIGHT + DAY_MS, cards={"c3": [3.0, 3.0]})
    data = data_of(folder, version)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 4
    data.write_bytes(content)
    held.refresh()
    assert "data.mdb is not what was published" in held.refused
    assert held.value.as_of_ms == MIDNIGHT


def test_a_file_that_is_no_database_is_refused_though_its_checksum_is_right(folder, held):
    put(folder)
    held.refresh()
    good = held.value
    facts = {"as_of_ms": 1, "built_ms": 1, "schema": SCHEMA, "columns": {}, "rows": {}}
    version = publish(
        folder,
        kind="snapshot",
        files={"data.mdb": b"no database"},
        facts={**facts, "left_out": {}},
        number=MIDNIGHT + DAY_MS,
    )
    held.refresh()
    assert held.refused.startswith(f"snapshot {version} cannot be mapped")
    assert held.value is good


def test_a_snapshot_of_another_schema_is_refused_and_the_last_good_one_kept(folder, held):
    put(folder)
    held.refresh()
    version = put(folder, schema=SCHEMA + 1, as_of_ms=MIDNIGHT + DAY_MS)
    held.refresh()
    assert held.refused == f"snapshot {version} has feature schema 4; this process reads 3."
    assert held.value.as_of_ms == MIDNIGHT


@pytest.mark.parametrize(
    "columns",
    [
        {Entity.CARD: ("amount_30d", "attempted_30d"), Entity.MERCHANT: ("fraud_7d",)},
        {**COLUMNS, Entity.DEVICE: ("attempted_30d",)},
    ],
)
def test_a_snapshot_with_other_columns_is_refused(folder, columns):
    version = put(folder, columns=columns)
    with pytest.raises(PublicationError, match="has other columns than this process reads"):
        load(folder, version)


def test_a_snapshot_of_a_release_with_other_facts_is_refused(folder):
    files = {"data.mdb": data_of(folder, put(folder)).read_bytes()}
    facts = {"as_of_ms": MIDNIGHT}
    version = publish(folder, kind="snapshot", files=files, facts=facts, number=MIDNIGHT)
    with pytest.raises(PublicationError, match="is of another release"):
        load(folder, version)


def test_an_older_snapshot_is_not_put_in_force(folder, held):
    new = put(folder)
    held.refresh()
    with pytest.raises(PublicationError, match=rf"is older than {new} .* going back takes"):
        put(folder, as_of_ms=MIDNIGHT - DAY_MS)
    held.refresh()
    assert (held.version, held.refused) == (new, None)


def test_an_older_snapshot_that_is_in_force_all_the_same_is_refused_by_who_holds_a_newer(
    folder, held
):
    old = put(folder, as_of_ms=MIDNIGHT - DAY_MS)
    put(folder)
    held.refresh()
    (folder / "current").write_text(f"{old}\n")
    held.refresh()
    assert f"snapshot {old} (number {MIDNIGHT - DAY_MS}) is older than" in held.refused
    assert held.value.as_of_ms == MIDNIGHT


def test_a_rollback_goes_back_and_the_next_midnight_forward_again(folder, held):
    old = put(folder, as_of_ms=MIDNIGHT - DAY_MS)
    put(folder)
    held.refresh()
    roll_back(folder, old)
    held.refresh()
    assert (held.value.as_of_ms, held.refused) == (MIDNIGHT - DAY_MS, None)
    put(folder, as_of_ms=MIDNIGHT + DAY_MS)
    held.refresh()
    assert held.value.as_of_ms == MIDNIGHT + DAY_MS


def test_a_withdrawn_snapshot_is_no_longer_used(folder, held):
    put(folder)
    held.refresh()
    withdraw(folder)
    held.refresh()
    assert held.value is None


def test_a_snapshot_need_not_be_signed_unless_that_is_asked_for(folder, tmp_path):
    signer = FileSigner(Ed25519PrivateKey.generate())
    Keyring(tmp_path / "trusted").add(signer.public_key)
    version = put(folder)
    load(folder, version)
    with pytest.raises(PublicationError, match="is not signed"):
        load(folder, version, trusted=tmp_path / "trusted")
    put(folder, signer=signer)
    load(folder, version, trusted=tmp_path / "trusted")


def test_readers_see_no_error_while_versions_are_swapped(folder, held):
    versions = [put(folder, cards={"c1": [n, 10.0 * n]}) for n in (1.0, 2.0)]
    held.refresh()
    stop, wrong, reads = threading.Event(), [], [0, 0, 0]

    def read(number):
        while not stop.is_set():
            try:
                values, states = held.value.read("t", {Entity.CARD: "c1", Entity.MERCHANT: "m1"})
                whole = values[1] == 10 * values[0] and states == [b"present"] * 2
                if not whole:
                    wrong.append(values)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                wrong.append(error)
            reads[number] += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    refused = []
    for swap in range(60):
        roll_back(folder, versions[swap % 2])
        held.refresh()
        refused.append(held.refused)
    stop.set()
    for thread in threads:
        thread.join()
    assert refused == [None] * 60
    assert wrong == []
    assert min(reads) > 0


def test_a_version_that_was_swapped_out_stays_readable_and_can_come_back(folder, held):
    first = put(folder)
    held.refresh()
    straggler = held.value
    second = put(folder, cards={"c1": [5.0, 5.0]})
    held.refresh()
    assert straggler.read("t", {Entity.CARD: "c1"})[0][0] == 1.0
    roll_back(folder, first)
    held.refresh()
    assert (held.version, held.refused) == (first, None)
    assert second != first


def test_what_is_swapped_out_is_closed_with_its_last_reader(folder, held):
    versions = [put(folder, cards={"c1": [n, n]}) for n in (1.0, 2.0)]
    held.refresh()
    before = open_files()
    for swap in range(200):
        roll_back(folder, versions[swap % 2])
        held.refresh()
        assert held.version == versions[swap % 2]
    assert open_files() == before
    held.value = None
    assert open_files() == before - 1


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))
