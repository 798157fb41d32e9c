"""Any data become a history by a mapping file, or one sentence says why not."""

import datetime as dt
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from app.api.pan import looks_like_pan
from app.api.reading import read_attempt
from app.api.wire import MINOR_UNITS_MAX, Amount, Hash, Id
from app.features.spec import DAY_MS
from app.models.training.history import ID_COLUMNS, NEVER_MS, HistoryError
from app.models.training.mapped import load_mapped, read_history
from app.models.training.mapped_columns import arrow_type
from app.models.training.mapping import WIRE_FIELDS, column_of, load_mapping
from app.models.training.wire_ids import ID_PREFIXES
from app.money import DEFAULT_RATES, load_rates

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001  as most data have it, without a zone
START_MS = 1_767_225_600_000
TEST_CARD = "4111111111111111"  # the networks' own test number
MINIMAL = {
    "time": "at",
    "amount": {"column": "paid", "currency": "USD", "unit": "major"},
    "merchant.id": "shop",
    "instrument.token": "card",
    "label": {"column": "bad", "delay_days": 7},
}


def columns(**changed):
    """Four attempts, the last one fraud."""
    return {
        "at": [START + dt.timedelta(hours=hour) for hour in range(4)],
        "paid": [12.5, 0.0, 57.16, 1000.0],
        "shop": [7, 7, 8, 9],
        "card": ["card-aaaa", "card-bbbb", "card-aaaa", "card-cccc"],
        "bad": [0, 0, 0, 1],
        **changed,
    }


@pytest.fixture
def load(tmp_path):
    """Load some columns by a mapping: that of `MINIMAL` with changes, without what is None."""

    def loaded(mapping=None, name="data.parquet", **changed):
        table = pa.table(columns(**changed))
        if name.endswith(".csv"):
            pacsv.write_csv(table, tmp_path / name)
        else:
            pq.write_table(table, tmp_path / name)
        return read_history(tmp_path / name, written(tmp_path, mapping))

    return loaded


def written(folder, changes=None):
    document = MINIMAL | (changes or {})
    document = {name: value for name, value in document.items() if value is not None}
    (folder / "mapping.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "mapping.yaml"


def column(history, name):
    return history.attempts[column_of(name)].to_pylist()


def one_sentence(error):
    text = str(error.value)
    return text.endswith(".") and "\n" not in text


# What a mapping gives


def test_amounts_are_minor_units_and_times_without_a_zone_are_utc(load):
    history = load()
    assert column(history, "amount.value") == [1250, 0, 5716, 100_000]
    assert history.amount_ref.tolist() == [1250, 0, 5716, 100_000]
    assert (history.received_ms - START_MS).tolist() == [0, 3_600_000, 7_200_000, 10_800_000]
    assert history.provenance == "production"


def test_fraud_is_known_when_its_delay_is_over_and_nothing_else_ever(load):
    history = load()
    assert history.fraud.tolist() == [False, False, False, True]
    assert history.labelled_ms.tolist() == [NEVER_MS] * 3 + [history.received_ms[3] + 7 * DAY_MS]


def test_an_attempt_without_a_label_is_one_that_nobody_has_reported(load):
    history = load(bad=[None, 0, None, 1])
    assert history.fraud.tolist() == [False, False, False, True]


def test_data_without_labels_can_be_replayed(load):
    history = load({"label": None})
    assert not history.fraud.any()
    assert (history.labelled_ms == NEVER_MS).all()


def test_csv_gives_what_parquet_gives(load):
    extra = {"attributes": {"weight": "kilos"}, "device.emulator": "emulated"}
    data = {"kilos": [1.5, None, 2.0, 3.0], "emulated": [True, False, None, True]}
    parquet = load(extra, **data)
    csv = load(extra, "data.csv", **data)
    assert csv.attempts.equals(parquet.attempts)
    assert (csv.labelled_ms == parquet.labelled_ms).all()


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    for at, name in enumerate(["day=1/part.parquet", "day=2/part.parquet"]):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        later = [START + dt.timedelta(days=at, hours=hour) for hour in range(4)]
        pq.write_table(pa.table(columns(at=later)), tmp_path / "data" / name)
    history = read_history(tmp_path / "data", written(tmp_path))
    assert len(history) == 8
    assert (np.diff(history.received_ms) > 0).all()


def test_what_is_not_mapped_is_null_and_columns_that_nobody_mapped_are_dropped(load):
    history = load(secret=[1, 2, 3, 4])
    absent = set(WIRE_FIELDS) - {"attempt_id", "merchant.id", "instrument.token"}
    assert {"customer.id", "device.id", "basket.items"} < absent
    for field in absent:
        values = history.attempts[column_of(field)]
        assert values.null_count == 4
        assert values.type == arrow_type(field)
    assert "secret" not in history.attempts.column_names


def test_every_entity_has_a_column_of_its_own(load):
    assert set(ID_COLUMNS.values()) <= set(load().attempts.column_names)


def test_every_id_of_the_wire_is_treated_as_one():
    ids = {name for name, kind in WIRE_FIELDS.items() if kind == Id or Id in kinds(kind)}
    hashes = {name for name, kind in WIRE_FIELDS.items() if Hash in kinds(kind)}
    assert ids | hashes | {"instrument.token"} == set(ID_PREFIXES)


def kinds(kind):
    return getattr(kind, "__args__", ())


def test_numeric_ids_get_a_prefix_and_ids_that_the_wire_takes_are_kept(load):
    history = load()
    assert column(history, "merchant.id") == ["mer_7", "mer_7", "mer_8", "mer_9"]
    assert column(history, "instrument.token")[0] == "card-aaaa"
    assert column(history, "attempt_id") == ["att_0", "att_1", "att_2", "att_3"]


def test_ids_that_were_kept_as_floats_because_some_are_missing_are_numbers_again(load):
    assert column(load(shop=[7.0, float("nan"), 8.0, 9.0]), "merchant.id")[:2] == ["mer_7", None]


def test_ids_with_leading_zeros_stay_apart_in_csv(load):
    history = load(None, "data.csv", shop=["007", "7", "07", "7"])
    assert column(history, "merchant.id") == ["mer_007", "mer_7", "mer_07", "mer_7"]


def test_no_id_looks_like_a_card_number_and_all_ids_stay_apart(load):
    names = [TEST_CARD, "a shop", "ä" * 70, "plain"]
    first, again = (column(load(shop=names), "merchant.id") for _ in range(2))
    assert first == again
    assert len(set(first)) == 4
    assert not any(looks_like_pan(name) for name in first)
    assert first[3] == "plain"


def test_amounts_of_each_currency_have_its_decimals_and_the_rates_of_serving(load):
    amount = {"column": "paid", "currency": {"column": "money"}, "unit": "major"}
    money = ["USD", "EUR", "JPY", "KWD"]
    history = load({"amount": amount}, money=money, paid=[1.0, 19.99, 500, 1.234])
    assert column(history, "amount.value") == [100, 1999, 500, 1234]
    rates = load_rates(DEFAULT_RATES)
    assert history.amount_ref.tolist() == [
        rates.to_reference(Amount(value=value, currency=code))
        for value, code in zip([100, 1999, 500, 1234], money, strict=True)
    ]


def test_exact_amounts_stay_exact(load):
    paid = [decimal.Decimal(text) for text in ("0.29", "1.10", "57.16", "4.35")]
    assert column(load(paid=paid), "amount.value") == [29, 110, 5716, 435]


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("s", [START_MS // 1000 + at for at in range(4)]),
        ("ms", [START_MS + 1000 * at for at in range(4)]),
    ],
)
def test_times_may_be_numbers_with_their_unit(load, unit, times):
    history = load({"time": {"column": "at", "unit": unit}}, at=times)
    assert (history.received_ms - START_MS).tolist() == [0, 1000, 2000, 3000]


def test_times_may_be_text_with_or_without_a_zone(load):
    zoned = [f"2026-01-01T0{hour}:00:00.123456+01:00" for hour in range(4)]
    assert load(at=zoned).received_ms[0] == START_MS - 3_600_000 + 123
    assert load(at=[f"2026-01-01 0{hour}:00:00" for hour in range(4)]).received_ms[0] == START_MS


def test_merchants_come_from_a_table_beside_the_mapping(load, tmp_path):
    shops = pa.table(
        {"no": [7, 8], "size": ["new", "standard"], "sells": ["books", "toys"], "at": ["DE", "NA"]}
    )
    pacsv.write_csv(shops, tmp_path / "shops.csv")
    history = load({"merchants": MERCHANTS})
    assert set(history.merchants) == {"mer_7", "mer_8"}
    assert history.merchants["mer_8"].tier == "standard"
    assert history.merchants["mer_8"].country == "NA"


MERCHANTS = {"file": "shops.csv", "id": "no", "tier": "size", "category": "sells", "country": "at"}


def test_documents_are_bodies_that_the_service_takes(load):
    mapping = {
        "customer.account_created_at": "since",
        "transaction.three_ds.liability_shift": "shifted",
        "transaction.channel": "how",
        "instrument.bin": "bin",
        "attributes": {"a__b": "kilos", "note": "said"},
    }
    history = load(
        mapping,
        since=[START, None, START, START],
        shifted=[1, 0, None, 1],
        how=["pos", "moto", None, "pos"],
        bin=[411111, 411111, 52000000, None],
        kilos=[1, 2, None, 4],
        said=["pay", f"card {TEST_CARD}", None, "x"],
    )
    attempts = [read_attempt(json.dumps(body).encode())[0] for body in history.documents()]
    assert [attempt.amount.value for attempt in attempts] == [1250, 0, 5716, 100_000]
    assert attempts[0].customer.account_created_at == "2026-01-01T00:00:00Z"
    assert attempts[0].transaction.three_ds.liability_shift is True
    assert attempts[1].attributes == {"a__b": 2.0, "note": "card [card …1111]"}
    assert attempts[2].instrument.bin == "52000000"


def test_documents_of_data_without_card_or_merchant_blame_nobody(load):
    mapping = {"merchant.id": None, "instrument.token": None, "customer.id": "card"}
    history = load(mapping)
    assert column(history, "instrument.token") == [None] * 4
    bodies = history.documents()
    attempts = [read_attempt(json.dumps(body).encode())[0] for body in bodies]
    assert len({attempt.instrument.token for attempt in attempts}) == 4
    assert history.documents() == bodies


# What is wrong with a mapping


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"costumer.id": "x"}, r"no field 'costumer\.id'; the nearest are customer\.id"),
        ({"amount": None}, "must say which column is the amount"),
        ({"time": None}, "must say which column is the time"),
        ({"merchant.id": None, "instrument.token": None}, "at least one entity: customer.email"),
        ({"customer.id": "card"}, "'card' is mapped to .* and .*; it can be one"),
        ({"ignore": ["bad"]}, "'bad' is mapped to label and ignored"),
        ({"label": {"column": "bad"}}, "required field `delay_days`"),
        ({"amount": MINIMAL["amount"] | {"unit": "cents"}}, "Invalid enum value 'cents'"),
        ({"merchant.id": 5}, "Expected `str`, got `int`"),
        ({"provenance": "guessed"}, "Invalid enum value 'guessed'"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(tmp_path, changes, says):
    with pytest.raises(HistoryError, match=says) as error:
        load_mapping(written(tmp_path, changes))
    assert one_sentence(error)


def test_a_mapping_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(HistoryError, match="cannot be read") as error:
        load_mapping(tmp_path / "mapping.yaml")
    assert one_sentence(error)


# What is wrong with data


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"bad": [0, 0, 0, 0]}, "'bad' names no fraud"),
        ({"bad": [1, 1, 1, 1]}, "'bad' names nothing but fraud"),
        ({"bad": [0, 1, 2, 3]}, "'bad' must hold nothing but 0 and 1"),
        ({"bad": ["ok", "ok", "ok", "fraud"]}, "'bad' does not hold true and false: .*fraud"),
        ({"at": ["yesterday"] * 4}, "'at' does not hold times: .*yesterday"),
        ({"at": [1, 2, 3, 4]}, r"'at' holds numbers, not times; .* time: \{column: at, unit: s\}"),
        ({"at": [START, START, None, START]}, "row 3 of the column 'at' has no time"),
        ({"at": [True] * 4}, "'at' holds bool; it must hold times"),
        ({"at": [dt.datetime(1969, 1, 1)] * 4}, "row 1 .* lies outside the years 1970 to 2100"),  # noqa: DTZ001
        (
            {"at": [START + dt.timedelta(days=day) for day in (1, 3, 2, 1)]},
            "row 3 of the column 'at' is earlier than the row before it, as 2 rows are",
        ),
        ({"paid": [1.0, 2.0, -0.01, 4.0]}, "row 3 of the column 'paid' is negative"),
        ({"paid": [1.0, None, 3.0, 4.0]}, "row 2 of the column 'paid' has no amount"),
        ({"paid": [1.0, float("inf"), 3.0, 4.0]}, "'paid' holds infinity"),
        ({"paid": [1.0, MINOR_UNITS_MAX, 3.0, 4.0]}, "row 2 of .* is above the largest amount"),
        ({"paid": ["1 USD"] * 4}, "'paid' does not hold numbers: .*1 USD"),
        ({"paid": [START] * 4}, "'paid' holds timestamp.*; it must hold numbers"),
        ({"shop": [1.5, 2.0, 3.0, 4.0]}, "'shop' does not hold ids: .*1.5"),
        ({"shop": [[1]] * 4}, "'shop' holds list<.*>; it must hold text or whole numbers"),
        ({"card": [TEST_CARD] * 4}, "'card' holds card numbers; map tokens"),
    ],
)
def test_a_column_that_cannot_be_what_it_is_mapped_to_is_one_sentence(load, changed, says):
    with pytest.raises(HistoryError, match=says) as error:
        load(**changed)
    assert one_sentence(error)


@pytest.mark.parametrize(
    ("mapping", "values", "says"),
    [
        ({"transaction.channel": "x"}, ["web"] * 4, "'web', .*: it is not one of ecommerce, "),
        ({"network.ip_country": "x"}, ["Germany"] * 4, "'Germany', which network.ip_country does"),
        ({"basket.items": "x"}, [1, 2, 3, -4], "holds -4, which basket.items does not take"),
        ({"basket.items": "x"}, [1.5] * 4, "'x' does not hold whole numbers"),
        ({"attempt_id": "x"}, [5, 6, 6, 7], "names more than one attempt att_6"),
        ({"attempt_id": "x"}, [5, 6, None, 7], "row 3 of the column 'x' has no attempt_id"),
        ({"customer.account_created_at": "x"}, [1] * 4, "holds numbers, not times"),
        ({"attributes": {"note": "x"}}, ["y" * 300] * 4, "which attributes.note does not take"),
        ({"amount": MINIMAL["amount"] | {"currency": "XXX"}}, [0] * 4, "currency 'XXX', only for"),
        (
            {"amount": MINIMAL["amount"] | {"currency": {"column": "x"}}},
            ["USD", None, "USD", "EUR"],
            "row 2 of the column 'x' has no currency",
        ),
        (
            {"amount": MINIMAL["amount"] | {"unit": "minor"}},
            [0] * 4,
            "row 1 of the column 'paid' is no whole number; check its unit",
        ),
    ],
)
def test_a_value_that_the_service_would_refuse_is_one_sentence(load, mapping, values, says):
    with pytest.raises(HistoryError, match=says) as error:
        load(mapping, x=values)
    assert one_sentence(error)


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
def test_a_missing_column_is_told_with_those_most_like_it(load, name):
    with pytest.raises(HistoryError, match="no column 'Card_no'; the nearest are card, ") as error:
        load({"instrument.token": "Card_no"}, name)
    assert one_sentence(error)


def test_a_column_that_is_there_twice_is_one_sentence(tmp_path):
    (tmp_path / "data.csv").write_text("at,paid,paid,shop,card,bad\n", encoding="utf-8")
    with pytest.raises(HistoryError, match="more than one column 'paid'"):
        read_history(tmp_path / "data.csv", written(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.csv", b"", "is empty"),
        ("data.csv", b"at,paid,shop,card,bad\n", "holds no rows"),
        ("data.csv", b"at,paid,shop,card,bad\n1,2\n", "cannot be read: CSV parse error"),
        ("data.parquet", b"not one", "cannot be read"),
        ("data.xlsx", b"", r"must be \.parquet or \.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HistoryError, match=says) as error:
        load_mapped(tmp_path / name, load_mapping(written(tmp_path)))
    assert one_sentence(error)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(HistoryError, match="does not exist"):
        read_history(tmp_path / "data.parquet", written(tmp_path))


def test_files_that_do_not_go_together_are_one_sentence(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(columns()), tmp_path / "data" / "1.parquet")
    pq.write_table(pa.table(columns(paid=["1"] * 4)), tmp_path / "data" / "2.parquet")
    with pytest.raises(HistoryError, match="the files do not go together"):
        read_history(tmp_path / "data", written(tmp_path))


@pytest.mark.parametrize(
    ("shops", "says"),
    [
        ("no,size,sells,at\n7,new,books,DE\n7,new,books,DE\n", "the merchant mer_7 more than once"),
        ("no,size,sells,at\n7,new,books,Germany\n", "'Germany' is not a country"),
        ("no,size,sells,at\n7,,books,DE\n", "row 1 of the column 'size' is empty"),
        ("no,size,sells,at\n70,new,books,DE\n", "names none of the attempts' merchants"),
        ("no,size,at\n7,new,DE\n", "no column 'sells'"),
    ],
)
def test_a_wrong_merchant_table_is_one_sentence(load, tmp_path, shops, says):
    (tmp_path / "shops.csv").write_text(shops, encoding="utf-8")
    with pytest.raises(HistoryError, match=says):
        load({"merchants": MERCHANTS})
