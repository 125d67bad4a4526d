"""Rows over HTTP: every format in and out, with values that JSON and CSV have no form for."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import inf, isnan, nan

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from app_client import AppClient
from tiffin.frames import FeatureFrame
from tiffin.server.app import create_app
from tiffin.server.options import Limits, ServerOptions
from tiffin.wire import from_stream, to_csv, to_parquet, to_stream
from tiffin.wire.media import ARROW, CSV, JSON, PARQUET

NOON = datetime(2024, 5, 31, 12, 0, 0, 123456, tzinfo=UTC)

EVERYTHING = pl.DataFrame(
    {
        "id": pl.Series([1, 2, 3], dtype=pl.Int64),
        "at": pl.Series([NOON, None, NOON + timedelta(days=1)], dtype=pl.Datetime("us", "UTC")),
        "naive": pl.Series([NOON.replace(tzinfo=None), None, None], dtype=pl.Datetime("us")),
        "seoul": pl.Series([NOON, NOON, None], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Seoul"),
        "day": [date(2024, 5, 31), None, date(1, 1, 1)],
        "clock": [time(12, 0, 0, 5), None, time(0)],
        "took": pl.Series([timedelta(days=1, microseconds=5), None, -timedelta(seconds=1)], dtype=pl.Duration("us")),
        "price": pl.Series([Decimal("1.10"), None, Decimal("-3.00")], dtype=pl.Decimal(20, 2)),
        "raw": [b"\x00\xff", None, b""],
        "text": ['é"\n\u2028', None, ""],
        "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "huge": pl.Series([2**100, None, -(2**100)], dtype=pl.Int128),
        "large": pl.Series([2**64 - 1, None, 0], dtype=pl.UInt64),
        "small": pl.Series([0.1, None, 1e30], dtype=pl.Float32),
        "yes": [True, None, False],
        "times": pl.Series([[NOON.replace(tzinfo=None)], None, []], dtype=pl.List(pl.Datetime("us"))),
        "pair": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int64, 2)),
        "deep": pl.Series([{"a": b"x", "b": [1.5, None]}, None, {"a": None, "b": []}]),
    }
)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def client(store):
    with AppClient(app_of(store)) as client:
        yield client


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A store with one table, and a client of it, for what changes nothing."""
    with tiffin.FeatureStore(tmp_path_factory.mktemp("store")) as opened, AppClient(app_of(opened)) as client:
        opened.save("g/t", EVERYTHING)
        yield opened, client


def app_of(store):
    limits = Limits(rows_per_request=1000, rows_per_answer=500, json_depth=8)
    return create_app(store, ServerOptions(limits=limits))


def state(store) -> list[tuple[str, int]]:
    return [(table.table, table.version) for table in store.tables()]


def post(client, path, data, media, **options):
    return client.post(path, content=data, headers={"Content-Type": media}, **options)


def rows(client, path="/tables/g/t/read?nan=text") -> list[dict]:
    answer = client.post(path, json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


@pytest.mark.parametrize("name", EVERYTHING.columns)
def test_a_stream_that_polars_writes_by_itself_is_taken(store, client, name):
    frame, stream = EVERYTHING.select(number=0, values=name), io.BytesIO()
    frame.write_ipc_stream(stream)
    answer = post(client, "/tables/g/t", stream.getvalue(), ARROW)
    if frame["values"].dtype == pl.Int128:
        assert "64 bits" in problem(answer, 422)
        assert "64 bits" in answer.json()["hint"]
    else:
        assert answer.status_code == 200, answer.text
        assert_frame_equal(store.read("g/t").to_polars(), frame, check_dtypes=not frame["values"].dtype.is_nested())


@pytest.mark.parametrize("nan", ["null", "text"])
def test_json_out_goes_in_again_as_the_same_values(store, client, nan):
    store.save("g/t", EVERYTHING)
    said = rows(client, f"/tables/g/t/read?nan={nan}")
    assert [datetime.fromisoformat(said[0][name]) for name in ("at", "naive", "seoul")] == [NOON] * 3
    assert datetime.fromisoformat(said[0]["seoul"]).utcoffset() == timedelta(hours=9)
    assert said[0]["price"] == "1.10"
    assert base64.b64decode(said[0]["raw"]) == b"\x00\xff"
    answer = client.post("/tables/g/t", json={"rows": said})
    assert answer.status_code == 200, answer.text
    assert_frame_equal(store.read("g/t").to_polars(), EVERYTHING)


def test_rows_under_names_of_before_are_read_in_the_columns_types(store, client):
    store.save("g/t", EVERYTHING)
    said = rows(client)
    names = {name: f"{name}_2" for name in EVERYTHING.columns}
    for name, new in names.items():
        store.rename("g/t", name, new)
    assert client.post("/tables/g/t", json={"rows": said}).status_code == 200
    assert_frame_equal(store.read("g/t").to_polars(), EVERYTHING.rename(names))


@pytest.mark.parametrize("media", [ARROW, PARQUET])
def test_arrow_and_parquet_keep_every_dtype(store, client, media):
    frame = EVERYTHING if media == ARROW else EVERYTHING.drop("huge", "clock")
    body = b"".join(to_stream(FeatureFrame(frame))) if media == ARROW else to_parquet(FeatureFrame(frame))
    assert post(client, "/tables/g/t?mode=append", body, media).status_code == 200
    answer = client.get("/features/g/t", headers={"Accept": media})
    assert answer.headers["content-type"] == media
    back = from_stream(answer.content).frame.to_polars() if media == ARROW else pl.read_parquet(answer.content)
    assert_frame_equal(back, frame)


@pytest.mark.parametrize("nan", ["null", "text"])
def test_maps_out_go_in_again_as_the_same_values(store, client, nan):
    frame = pl.DataFrame(
        {
            "counts": pl.Series([{"a": 1}, {"b": 2}, None, {}], dtype=pl.Map(pl.String, pl.Int64)),
            "scores": pl.Series([{1: 0.5, 2: 1.5}, {}, None, {3: None}], dtype=pl.Map(pl.Int64, pl.Float64)),
            "seen": pl.Series([{"a": NOON.replace(tzinfo=None)}] * 4, dtype=pl.Map(pl.String, pl.Datetime("us"))),
            "deep": pl.Series([[{"a": b"x"}], [], None, [None]], dtype=pl.List(pl.Map(pl.String, pl.Binary))),
            "id": [1, 2, 3, 4],
        }
    )
    store.save("g/t", frame)
    said = rows(client, f"/tables/g/t/read?nan={nan}")
    assert said[0]["scores"] == {"1": 0.5, "2": 1.5}
    assert said[0]["seen"] == {"a": "2024-05-31T12:00:00.123456Z"}
    assert client.post("/tables/g/t", json={"rows": said}).status_code == 200
    assert_frame_equal(store.read("g/t").to_polars(), frame)


@pytest.mark.parametrize("media", [JSON, CSV])
def test_an_overwrite_that_may_change_the_schema_takes_what_does_not_fit_as_it_came(store, client, media):
    store.save("g/t", pl.DataFrame({"n": [1], "day": [date(2024, 5, 31)]}))
    found = [{"n": "word", "day": "2024-06-01"}]
    body = json.dumps({"rows": found}).encode() if media == JSON else b"n,day\nword,2024-06-01\n"
    assert "holds 'word'" in problem(post(client, "/tables/g/t", body, media), 422)
    planned = post(client, "/tables/g/t/plan?evolve=true", body, media)
    assert planned.status_code == 200, planned.text
    assert post(client, "/tables/g/t?evolve=true", body, media).status_code == 200
    assert store.read("g/t").to_polars().to_dicts() == [{"n": "word", "day": date(2024, 6, 1)}]


def test_each_kind_of_column_may_change_so(store, client):
    old = {
        "at": [date(2024, 5, 31)],
        "counts": pl.Series([{"a": 1}], dtype=pl.Map(pl.String, pl.Int64)),
        "tag": [0.5],
        "words": [0.5],
    }
    store.save("g/t", pl.DataFrame(old), timestamp="at")
    found = [
        {"at": "2024-06-01T12:00:00Z", "counts": "x", "tag": "NaN", "words": "NaN"},
        {"at": "2024-06-02", "counts": "y", "tag": "abc", "words": 1},
    ]
    answer = client.post("/tables/g/t?evolve=true", json={"rows": found, "timestamp": "at"})
    assert answer.status_code == 200, answer.text
    after = store.read("g/t").to_polars()
    assert after["at"].to_list() == [datetime(2024, 6, 1, 12, tzinfo=UTC), datetime(2024, 6, 2, tzinfo=UTC)]
    assert after.select("counts", "tag").rows() == [("x", "NaN"), ("y", "abc")]
    assert isnan(after["words"][0])
    assert after["words"][1] == 1.0


@pytest.mark.parametrize("media", [JSON, CSV])
def test_a_column_without_values_takes_the_type_of_its_first_ones(store, client, media):
    store.save("g/t", pl.DataFrame({"id": [1], "note": [None]}))
    body = b'{"rows": [{"id": 2, "note": "good"}]}' if media == JSON else b"id,note\n2,good\n"
    answer = post(client, "/tables/g/t?mode=append", body, media)
    assert answer.status_code == 200, answer.text
    assert store.read("g/t").to_polars()["note"].to_list() == [None, "good"]


@pytest.mark.parametrize(
    ("text", "status"), [("12:00:00.1234567Z", 422), ("12:00:00,1234567Z", 422), ("12:00:00.1234560Z", 200)]
)
def test_times_finer_than_the_column_are_not_cut_off(store, client, text, status):
    moment = f"2024-05-31T{text}"
    declared = {"rows": [{"id": 1, "at": moment}], "entity": ["id"], "timestamp": "at"}
    store.save("g/t", EVERYTHING.select("id", "at"))
    for answer in (
        client.post("/tables/g/new", json=declared),
        post(client, "/tables/g/t?mode=append", f'id,at\n4,"{moment}"\n'.encode(), CSV),
    ):
        assert answer.status_code == status, answer.text
        assert status == 200 or f"row 0 holds '{moment}'" in answer.json()["detail"]


def test_durations_finer_than_python_has_them_are_not_cut_off(store, client):
    store.save("g/t", pl.DataFrame({"took": pl.Series([timedelta(1)], dtype=pl.Duration("ns"))}))
    answer = client.post("/tables/g/t?mode=append", json={"rows": [{"took": "PT0.0000001S"}]})
    assert "row 0 holds 'PT0.0000001S'" in problem(answer, 422)


def test_csv_out_goes_in_again_as_the_same_values(store, client):
    flat = EVERYTHING.drop("raw", "times", "pair", "deep")
    store.save("g/t", flat)
    answer = client.get("/features/g/t", headers={"Accept": CSV})
    assert answer.headers["content-disposition"] == 'attachment; filename="t.csv"'
    assert answer.text == to_csv(FeatureFrame(flat)).decode()
    assert post(client, "/tables/g/t", answer.content, CSV).status_code == 200
    assert_frame_equal(store.read("g/t").to_polars(), flat)


def test_nan_and_infinities_are_null_unless_words_are_asked_for(store, client):
    store.save("g/t", pl.DataFrame({"x": [1.5, nan, inf, -inf, None], "l": [[nan], [], None, [1.0], [-inf]]}))
    assert [row["x"] for row in rows(client, "/tables/g/t/read")] == [1.5, None, None, None, None]
    said = rows(client)
    assert [row["x"] for row in said] == [1.5, "NaN", "Infinity", "-Infinity", None]
    assert [row["l"] for row in said] == [["NaN"], [], None, [1.0], ["-Infinity"]]
    client.post("/tables/g/t?mode=append&evolve=true", json={"rows": [{"x": "NaN"}, {"x": 2}, {"x": "-Infinity"}]})
    saved = store.read("g/t").to_polars()["x"].to_list()
    assert isnan(saved[5])
    assert saved[6:] == [2.0, -inf]


def test_declared_times_of_a_new_table_are_read_as_times(store, client):
    body = {"rows": [{"id": 1, "at": "2024-05-31T12:00:00+09:00", "made": "2024-06-01"}], "entity": "id"}
    answer = client.post("/tables/g/t?timestamp=at", json={**body, "created": "made", "ttl": "P30D"})
    assert answer.status_code == 200, answer.text
    table = store.describe("g/t")
    assert (table.entity, table.timestamp, table.created, table.ttl) == (("id",), "at", "made", timedelta(days=30))
    saved = store.read("g/t").to_polars()
    assert saved["at"].to_list() == [datetime(2024, 5, 31, 3, tzinfo=UTC)]
    assert saved["made"].to_list() == [date(2024, 6, 1)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "x"}, "column 'id' is Int64 in the table; row 0 holds 'x'"),
        ({"at": "yesterday"}, "column 'at' is Datetime"),
        ({"at": 1717156800}, "'at'"),
        ({"raw": "no base64!"}, "column 'raw' is Binary"),
        ({"times": ["soon"]}, "column 'times' is List"),
        ({"deep": {"a": None, "b": [], "c": 1}}, "column 'deep' is Struct"),
        ({"pair": [1, 2, 3]}, "column 'pair' is Array"),
        ({"price": "1.123"}, "'price'"),
        ({"new\u0000": 1}, "cannot be the name of a column"),
    ],
)
def test_json_that_does_not_fit_the_table_changes_nothing(full, row, told):
    store, client = full
    answer = client.post("/tables/g/t?mode=append&evolve=true", json={"rows": [row]})
    assert told in problem(answer, 422)
    assert state(store) == [("g/t", 0)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"rows": [{"x": NaN}]}', 400),
        (b'{"rows": [{"x": 1e400}]}', 400),
        (b'{"rows": [{"x": ' + b"1" * 5000 + b"}]}", 400),
        (b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 413),
        (b'{"rows": [{"x": [[[[[[[[[1]]]]]]]]]}]}', 413),
        (b'{"rows": [{"x": "\xed\xa0\x80"}]}', 400),
        (b'{"rows": [{"x": "\\ud800"}]}', 400),
        (b"[]", 422),
        (b'{"rows": {}}', 422),
        (b'{"rows": [1]}', 422),
        (b'{"rows": []}', 422),
        (b'{"rows": [{"x": 1}, {"x": "a"}]}', 422),
        (b'{"rows": [{"x": 1}], "mode": "replace"}', 422),
        (b'{"rows": [{"x": 1}], "modus": "append"}', 422),
        (b'{"rows": [{"x": 1}], "ttl": "soon"}', 422),
    ],
)  # fmt: skip
def test_bodies_that_are_no_rows_are_told_so(full, body, status):
    store, client = full
    problem(post(client, "/tables/g/new", body, JSON), status)
    assert state(store) == [("g/t", 0)]


@pytest.mark.parametrize("media", [ARROW, PARQUET, CSV])
def test_garbage_in_the_other_formats_is_refused(full, media):
    store, client = full
    problem(post(client, "/tables/g/new", b"\x00garbage\xff", media), 422)
    assert state(store) == [("g/t", 0)]


@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_a_body_must_say_a_format_that_is_taken(full, media):
    _, client = full
    answer = post(client, "/tables/g/new", b'{"rows": [{"x": 1}]}', media)
    assert "is not taken here" in problem(answer, 415)
    assert ARROW in answer.json()["hint"]


@pytest.mark.parametrize("media", [ARROW, PARQUET, CSV, JSON])
def test_more_rows_than_may_come_are_refused(full, media):
    store, client = full
    frame = FeatureFrame(pl.DataFrame({"x": range(1001)}))
    bodies = {
        ARROW: b"".join(to_stream(frame)),
        PARQUET: to_parquet(frame),
        CSV: to_csv(frame),
        JSON: json.dumps({"rows": frame.to_polars().to_dicts()}).encode(),
    }
    assert "1,000 may come at once" in problem(post(client, "/tables/g/new", bodies[media], media), 413)
    assert state(store) == [("g/t", 0)]


def test_more_rows_than_may_be_answered_are_refused_as_json_and_csv_alone(store, client):
    store.save("g/t", pl.DataFrame({"x": range(501)}))
    assert "501 rows" in problem(client.get("/features/g/t", headers={"Accept": CSV}), 413)
    assert "limit is 501" in problem(client.get("/features/g/t?limit=501"), 413)
    assert len(client.get("/features/g/t").json()["data"]) == 500
    arrow = client.get("/features/g/t", headers={"Accept": ARROW})
    assert len(from_stream(arrow.content).frame) == 501


def test_keys_that_json_has_no_form_for_are_read_from_their_texts(store, client):
    days = [date(2024, 5, day) for day in (1, 2, 3)]
    store.save("g/t", pl.DataFrame({"day": days, "id": [1, 2, 3], "x": [1, 2, 3]}), entity=["day", "id"])
    for entities in ([["2024-05-02", 2]], [{"day": "2024-05-02", "id": 2}]):
        answer = client.post("/tables/g/t/read", json={"entities": entities})
        assert [row["x"] for row in answer.json()["rows"]] == [2], answer.text
    assert "row 0 holds 'x'" in problem(client.post("/tables/g/t/read", json={"entities": [["x", 2]]}), 422)
