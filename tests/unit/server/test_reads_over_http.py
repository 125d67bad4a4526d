"""Reads over HTTP: pages with honest totals, versions, tags, compression, and large answers piece by piece."""

from __future__ import annotations

import asyncio
import gzip
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import zstandard
from polars.testing import assert_frame_equal

import tiffin
from app_client import AppClient
from tiffin.errors import TableNotFound
from tiffin.server.answers import forms
from tiffin.server.app import create_app, routed
from tiffin.server.options import ServerOptions
from tiffin.store.read import Reading
from tiffin.wire import from_stream
from tiffin.wire.media import ARROW, CSV, PARQUET

ROWS = pl.DataFrame({"id": range(100), "x": [number / 2 for number in range(100)], "a,b": ["t"] * 100})


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        opened.save("g/t", ROWS, entity="id")
        yield opened


@pytest.fixture
def client(store):
    with AppClient(create_app(store, ServerOptions())) as client:
        yield client


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A client of a store that nobody changes."""
    with tiffin.FeatureStore(tmp_path_factory.mktemp("store")) as store:
        store.save("g/t", ROWS, entity="id")
        with AppClient(create_app(store, ServerOptions())) as client:
            yield client


def read(client, **question) -> dict:
    answer = client.post("/tables/g/t/read", json=question)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counted(answer: dict) -> tuple[int, int]:
    return answer["row_count"], answer["total_rows"]


def test_a_page_tells_the_rows_of_the_table_and_not_its_own(fixed):
    page = fixed.get("/features/g/t?columns=id,x&limit=3&offset=98").json()
    assert page["data"] == [{"id": 98, "x": 49.0}, {"id": 99, "x": 49.5}]
    assert (page["feature_group"], page["feature_name"]) == ("g", "t")
    assert page["metadata"] == {
        "total_rows": 100,
        "row_count": 2,
        "columns": ["id", "x"],
        "dtypes": {"id": "Int64", "x": "Float64"},
        "version": 0,
    }
    beyond = fixed.get("/features/g/t?columns=id&columns=x&offset=1000").json()
    assert (beyond["data"], beyond["metadata"]["total_rows"]) == ([], 100)


@pytest.mark.parametrize(
    ("question", "counts"),
    [
        ({}, (100, 100)),
        ({"limit": 10}, (10, 100)),
        ({"limit": 0}, (0, 100)),
        ({"where": [["x", ">=", 25.0]]}, (50, 50)),
        ({"where": [["x", ">=", 25.0]], "limit": 7}, (7, 50)),
        ({"where": [["x", ">=", 25.0]], "limit": 7, "offset": 49}, (1, 50)),
        ({"where": [["x", ">=", 25.0]], "limit": 7, "offset": 60}, (0, 50)),
        ({"where": [["x", ">=", 25.0]], "offset": 60}, (0, 50)),
        ({"where": [["x", ">", 99.0]], "limit": 5}, (0, 0)),
        ({"entities": [3, 4, 1000], "limit": 1}, (1, 2)),
        ({"entities": []}, (0, 0)),
        ({"columns": ["a,b"], "entities": [3]}, (1, 1)),
        ({"feature": "x", "limit": 2}, (2, 100)),
    ],
)
def test_totals_are_of_the_selection(fixed, question, counts):
    assert counted(read(fixed, **question)) == counts


def test_a_read_of_one_feature_has_the_keys(fixed):
    assert list(read(fixed, feature="x")["columns"]) == ["id", "x"]


def test_versions_by_number_and_by_time(client, store):
    first = store.history("g/t")[0].timestamp
    store.save("g/t", ROWS.head(1))
    assert client.get("/features/g/t?version=0").json()["metadata"]["total_rows"] == 100
    assert client.get("/features/g/t").json()["metadata"]["total_rows"] == 1
    as_of = client.get("/features/g/t", params={"as_of": first.isoformat()}).json()
    assert (as_of["metadata"]["total_rows"], as_of["metadata"]["version"]) == (100, 0)
    assert client.get("/features/g/t?as_of=2001-01-01").status_code == 404
    assert client.get("/features/g/t?version=7").json()["code"] == "version_not_found"


def test_who_has_the_answer_is_told_so_before_anything_is_read(client, store, monkeypatch):
    tag = client.get("/features/g/t?limit=5").headers["etag"]
    monkeypatch.setattr(Reading, "read", None)
    same = client.get("/features/g/t?limit=5", headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    pinned = client.get("/features/g/t?limit=5&version=0", headers={"If-None-Match": tag})
    assert pinned.status_code == 304, "the same version, however it is asked for"
    monkeypatch.undo()
    store.save("g/t", ROWS.head(50))
    fresh = client.get("/features/g/t?limit=5", headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != tag


def test_a_table_made_in_the_place_of_another_has_other_tags(client, store):
    tag = client.get("/features/g/t").headers["etag"]
    store.drop("g/t")
    store.save("g/t", ROWS, entity="id")
    assert client.get("/features/g/t", headers={"If-None-Match": tag}).status_code == 200


def test_a_table_that_takes_the_place_of_another_is_never_answered_under_its_tag(client, store, monkeypatch):
    old = client.get("/features/g/t?limit=1").headers["etag"]
    original = Reading.read

    def overtaken(self, *args, **kwargs):
        monkeypatch.undo()
        store.drop("g/t")
        store.save("g/t", ROWS.head(2), entity="id")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Reading, "read", overtaken)
    answer = client.get("/features/g/t?limit=5")
    assert answer.json()["metadata"]["total_rows"] == 2
    assert client.get("/features/g/t?limit=5", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.get("/features/g/t?limit=1").headers["etag"] != old


def test_the_document_tells_of_tags(fixed):
    operation = fixed.get("/openapi.json").json()["paths"]["/features/{group}/{name}"]["get"]
    assert "304" in operation["responses"]
    (header,) = [one for one in operation["parameters"] if one["in"] == "header"]
    tag = fixed.get("/features/g/t").headers["etag"]
    assert fixed.get("/features/g/t", headers={header["name"]: tag}).status_code == 304


def test_answers_in_other_forms_have_other_tags(fixed):
    asked = [
        ("/features/g/t", {}), ("/features/g/t?limit=5", {}), ("/features/g/t?columns=x", {}),
        ("/features/g/t?nan=text", {}), ("/features/g/t", {"Accept": ARROW}), ("/features/g/t", {"Accept": CSV}),
        ("/features/g/t", {"Accept-Encoding": "gzip"}), ("/features/g/t", {"Accept-Encoding": "identity"}),
    ]  # fmt: skip
    tags = [fixed.get(path, headers={"Accept-Encoding": "zstd", **headers}).headers["etag"] for path, headers in asked]
    assert len(set(tags)) == len(tags)


def test_the_two_ways_to_read_a_table_never_answer_for_one_another(fixed):
    assert "rows" in read(fixed)
    assert "data" in fixed.get("/features/g/t").json()
    assert "rows" in read(fixed)


@pytest.mark.parametrize(
    ("coding", "undo"),
    [("gzip", gzip.decompress), ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data))],
)
@pytest.mark.parametrize("rows", [100, 200_000])
def test_large_and_small_answers_are_compressed_as_the_caller_accepts(client, store, coding, undo, rows):
    frame = pl.DataFrame({"x": range(rows)})
    store.save("g/n", frame)
    plain = client.get("/features/g/n", headers={"Accept": CSV, "Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    raw = []
    request = {"Accept": CSV, "Accept-Encoding": coding}
    packed = client.get("/features/g/n", headers=request)
    raw.append(packed.text)
    assert raw == [plain.text]
    is_tiny = len(plain.content) < 1024
    assert packed.headers.get("content-encoding") == (None if is_tiny else coding)
    assert packed.headers["vary"] == "Accept, Accept-Encoding"


def test_large_answers_come_in_pieces_and_whole(client, store, monkeypatch):
    frame = pl.DataFrame({"id": range(200_000), "x": [0.5] * 200_000})
    store.save("g/large", frame, entity="id")
    pieces = []
    original = forms._sent
    monkeypatch.setattr(
        forms, "_sent", lambda call, made: original(call, (pieces.append(len(one)) or one for one in made))
    )
    back = from_stream(client.get("/features/g/large", headers={"Accept": ARROW}).content)
    assert_frame_equal(back.frame.to_polars(), frame)
    assert back.total_rows == 200_000
    assert max(pieces) < 2_000_000
    pieces.clear()
    said = client.get("/features/g/large?limit=200000").json()
    assert [row["id"] for row in said["data"]] == list(range(200_000))
    assert max(pieces) < 2_000_000


def test_csv_in_pieces_has_its_names_once(client, store, monkeypatch):
    monkeypatch.setattr(forms, "_CSV_ROWS", 7)
    names = pl.DataFrame({"a\nb": range(20), '"c"': ["x\ny"] * 20})
    store.save("g/n", pl.DataFrame({"a b": range(20), '"c"': ["x\ny"] * 20}))
    answer = client.get("/features/g/n", headers={"Accept": CSV})
    assert pl.read_csv(answer.content).rows() == names.rows()
    store.save("g/n", names.clear().rename({"a\nb": "a b"}))
    assert client.get("/features/g/n", headers={"Accept": CSV}).text == 'a b,"""c"""\n'


def test_heavy_reads_never_stand_before_online_reads(client, store, monkeypatch):
    store.materialize("g/t")
    go_on, inside = threading.Event(), threading.Semaphore(0)

    def stuck(*_args, **_kwargs):
        inside.release()
        go_on.wait(20)
        raise TableNotFound("gone")

    monkeypatch.setattr(Reading, "read", stuck)
    paths = [f"/features/g/t?limit={number}" for number in range(1, 21)]
    slow = [threading.Thread(target=client.get, args=(path,), daemon=True) for path in paths]
    for thread in slow:
        thread.start()
    assert all(inside.acquire(timeout=10) for _ in range(16)), "as many as there are threads are under way"
    asked = {"features": ["g/t:x"], "entity_rows": [{"id": 3}] * 1000}
    try:
        assert client.get("/health").status_code == 200
        assert client.post("/online", json=asked).json()["rows"][0]["x"] == 1.5
    finally:
        go_on.set()
    for thread in slow:
        thread.join(20)


def test_parquet_and_csv_are_files_to_be_kept(client, tmp_path):
    parquet = client.get("/features/g/t", headers={"Accept": PARQUET})
    assert parquet.headers["content-disposition"] == 'attachment; filename="t.parquet"'
    assert_frame_equal(pl.read_parquet(parquet.content), ROWS)


def test_a_format_that_is_not_offered_is_refused_with_the_list(fixed):
    refused = fixed.get("/features/g/t", headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert ARROW in refused.json()["hint"]


def test_what_is_answered_from_memory_is_what_the_newest_version_holds(client, store):
    for number in range(5):
        store.save("g/t", ROWS.head(number))
        assert client.get("/features/g/t").json()["metadata"]["total_rows"] == number


def test_batch_reads_several_tables_by_keys_as_of_one_time(client, store):
    store.save("g/u", [{"entity_id": 3, "y": 1}, {"entity_id": 5, "y": 2}])
    before = datetime.now(UTC)
    store.save("g/u", [{"entity_id": 3, "y": 9}])
    asked = {"feature_names": ["t", "g/u"], "entity_ids": [3]}
    answer = client.post("/features/batch", json=asked).json()
    assert answer["features"] == {"t": [{"id": 3, "x": 1.5, "a,b": "t"}], "g/u": [{"entity_id": 3, "y": 9}]}
    assert answer["metadata"]["versions"] == {"g/t": 0, "g/u": 1}
    earlier = client.post("/features/batch", json={**asked, "timestamp": before.isoformat()}).json()
    assert earlier["features"]["g/u"] == [{"entity_id": 3, "y": 1}]
    long_ago = client.post("/features/batch", json={**asked, "timestamp": str(before - timedelta(days=9999))[:10]})
    assert long_ago.status_code == 404


def test_info_tells_of_tables_without_reading_them(fixed):
    there = fixed.get("/features/g/t/info").json()["storage_info"]
    assert (there["exists"], there["row_count"], there["column_count"]) == (True, 100, 3)
    assert fixed.get("/features/g/none/info").json()["storage_info"]["exists"] is False


@pytest.mark.parametrize(("set_to", "bytes_kept"), [(1_000, 1_000), (0, 0), (1 << 30, 64 << 20)])
def test_answers_that_are_kept_take_no_more_than_the_memory_cache_may(tmp_path, set_to, bytes_kept):
    with tiffin.FeatureStore(tmp_path, memory_cache_bytes=set_to) as store:
        app = routed(store, ServerOptions())
    assert app.state.answers.stats()["max_bytes"] == bytes_kept


def test_what_is_left_of_an_answer_is_let_go_when_its_client_hangs_up():
    let_go = []

    def pieces():
        try:
            while True:
                yield b"rows"
        finally:
            let_go.append(True)

    class Call:
        async def run(self, function, *arguments):
            await asyncio.sleep(0)
            return function(*arguments)

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        await asyncio.sleep(0)

    made = pieces()
    next(made)
    asyncio.run(forms._Streamed(Call(), made, {}, ARROW)({"type": "http", "asgi": {}}, receive, send))
    assert let_go == [True]
