"""POST /online through the whole app: what it takes, what it gives, whom, and that the document says so."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import inf, nan

import msgspec
import polars as pl
import pytest

import tiffin
from app_client import AppClient
from tiffin.access import keys_of
from tiffin.server.app import create_app
from tiffin.server.online import asking, direct
from tiffin.server.online.own_format import OnlineQuestion, OnlineReply
from tiffin.server.options import Limits, ServerOptions
from tiffin.serving import OnlinePlan

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path_factory.mktemp("store"), disk_cache_bytes=0)
    rows = [
        {"user_id": 7, "at": NOW - DAY, "mean": 4.5, "city": "Pune"},
        {"user_id": 8, "at": NOW - 40 * DAY, "mean": 3.0, "city": "Oslo"},
        {"user_id": 9, "at": NOW, "mean": None, "city": None},
    ]
    store.save(
        "user/ratings", rows, entity="user_id", timestamp="at", ttl=30 * DAY, defaults={"city": "?"}, online=True
    )
    store.save("item/price", [{"item": "a", "price": Decimal("1.50")}], entity="item", online=True)
    return store


@pytest.fixture(scope="module")
def client(store):
    with AppClient(create_app(store, ServerOptions())) as client:
        yield client


def ask(client, features, entities, path="/online", **options):
    answer = client.post(path, json={"features": features, "entity_rows": entities, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(client, body, **options):
    answer = client.post("/online", json=body, **options)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()


# What it gives


def test_values_statuses_times_and_versions(client):
    given = ask(client, ["user/ratings:mean", "user/ratings:city"], [{"user_id": n} for n in (7, 8, 9, 10)])
    assert given["rows"] == [
        {"user_id": 7, "mean": 4.5, "city": "Pune"},
        {"user_id": 8, "mean": None, "city": "?"},
        {"user_id": 9, "mean": None, "city": "?"},
        {"user_id": 10, "mean": None, "city": "?"},
    ]
    kinds = ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"]
    assert given["statuses"] == {"mean": kinds, "city": kinds}
    times = [(NOW - age).isoformat().replace("+00:00", "Z") for age in (DAY, 40 * DAY, 0 * DAY)]
    assert given["timestamps"] == {"mean": [*times, None], "city": [*times, None]}
    assert given["versions"] == {"user/ratings": 0}


def test_entities_as_columns_and_several_tables(client):
    given = ask(client, ["user/ratings:mean", "item/price"], {"user_id": [7, 9], "item": ["a", "b"]})
    assert given["rows"] == [
        {"user_id": 7, "item": "a", "mean": 4.5, "price": "1.50"},
        {"user_id": 9, "item": "b", "mean": None, "price": None},
    ]
    assert given["statuses"] == {"mean": ["PRESENT", "NULL_VALUE"], "price": ["PRESENT", "NOT_FOUND"]}
    assert given["versions"] == {"user/ratings": 0, "item/price": 0}
    # A default hides that there is no value; the status does not.
    for users in ([9], [9, 7]):
        given = ask(client, ["user/ratings:city"], {"user_id": users})
        assert [row["city"] for row in given["rows"]] == ["?", "Pune"][: len(users)]
        assert given["statuses"]["city"] == ["NULL_VALUE", "PRESENT"][: len(users)]


def test_full_names_a_service_and_no_entities(client, store):
    store.create_service("model", ["user/ratings:mean"], replace=True)
    assert ask(client, "model", [{"user_id": 7}], full_feature_names=True)["rows"] == [
        {"user_id": 7, "user__ratings__mean": 4.5}
    ]
    assert ask(client, "model", [])["rows"] == []


KINDS = {
    "naive": (pl.Datetime("us"), datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05Z"),
    "zoned": (pl.Datetime("us", "Europe/Oslo"), datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T01:00:00+01:00"),
    "day": (pl.Date(), date(2024, 1, 2), "2024-01-02"),
    "lasting": (pl.Duration("us"), timedelta(hours=1, microseconds=5), "PT3600.000005S"),
    "exact": (pl.Decimal(10, 2), Decimal("1.50"), "1.50"),
    "large": (pl.Int128(), 2**100, 2**100),
    "photo": (pl.Binary(), b"\x00\xff", "AP8="),
    "flag": (pl.Boolean(), True, True),
    "kind": (pl.Categorical(), "a", "a"),
    "not_a_number": (pl.Float64(), nan, None),
    "endless": (pl.List(pl.Float32()), [1.0, -inf, None], [1.0, None, None]),
    "times": (pl.List(pl.Datetime("us")), [datetime(2024, 1, 2), None], ["2024-01-02T00:00:00Z", None]),
    "pair": (pl.Struct({"x": pl.Float64(), "t": pl.Datetime("us")}), {"x": inf, "t": datetime(2024, 1, 2)},
             {"x": None, "t": "2024-01-02T00:00:00Z"}),
    'a "quoted" \\ name': (pl.Int64(), 1, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def kinds(store) -> str:
    columns = {name: pl.Series([value], dtype=dtype) for name, (dtype, value, _) in KINDS.items()}
    frame = pl.DataFrame({"key": pl.Series([1]), **columns})
    store.save("all/kinds", frame, entity="key", online=True)
    return "all/kinds"


def test_every_kind_of_value(client, kinds):
    (row,) = ask(client, [kinds], [{"key": 1}])["rows"]
    assert row == {"key": 1, **{name: shown for name, (_, _, shown) in KINDS.items()}}


def test_numbers_that_are_none_in_words(client, kinds):
    (row,) = ask(client, [kinds], [{"key": 1}], path="/online?nan=text")["rows"]
    assert row["not_a_number"] == "NaN"
    assert row["endless"] == [1.0, "-Infinity", None]
    assert row["pair"] == {"x": "Infinity", "t": "2024-01-02T00:00:00Z"}
    assert row["naive"] == "2024-01-02T03:04:05Z"


@pytest.mark.parametrize("name", ["naive", "zoned", "day", "lasting", "exact", "photo"])
def test_keys_that_json_has_no_form_for(client, store, name):
    dtype, value, shown = KINDS[name]
    store.save(f"by/{name}", pl.DataFrame({name: pl.Series([value], dtype=dtype), "x": [5]}), entity=name, online=True)
    assert ask(client, f"by/{name}:x", [{name: shown}])["rows"][0]["x"] == 5
    status, problem = refusal(client, {"features": f"by/{name}:x", "entity_rows": [{name: shown}, {name: "?" * 3}]})
    assert status == 422
    assert name in problem["detail"]
    assert "[1]" in problem["detail"]


# What it refuses


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"features": ["user/ratings:nope"], "entity_rows": [{"user_id": 7}]}, 404, "nope"),
        ({"features": ["user/nope:mean"], "entity_rows": [{"user_id": 7}]}, 404, "nope"),
        ({"features": "nope", "entity_rows": [{"user_id": 7}]}, 404, "nope"),
        ({"features": ["user/ratings:mean"], "entity_rows": [{"user_id": 7}, {"user": 8}]}, 422, "row 1"),
        ({"features": ["user/ratings:mean"], "entity_rows": [{"user_id": "x"}]}, 422, "user_id"),
        ({"features": ["user/ratings:mean"], "entity_rows": [{"user_id": [7]}]}, 422, "array"),
        ({"features": ["user/ratings:mean", "item/price"], "entity_rows": {"user_id": [7], "item": []}}, 422, "length"),
        ({"features": ["user/ratings:mean"]}, 422, "entity_rows"),
        ({"features": [], "entity_rows": []}, 422, "features"),
        ({"features": ["user/ratings:mean"], "entity_rows": [], "at": 1}, 422, "at"),
        ([], 422, "object"),
    ],
)
def test_what_is_wrong_is_said(client, body, status, word):
    found, problem = refusal(client, body)
    assert found == status == problem["status"]
    assert word in problem["detail"]


def test_bodies_that_are_no_json(client):
    sent_as = {"content-type": "application/json"}
    for data in (b"", b"{", b"\xff", b"[" * 100_000, b'{"features": ' + b'{"a":' * 50_000):
        assert client.post("/online", content=data, headers=sent_as).status_code in {400, 422}
    # A page of another site can have a browser send this without asking first.
    assert client.post("/online", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/online", content=b"{}").status_code == 415
    assert client.get("/online").headers["allow"] == "POST"


def test_too_many_entities(store):
    options = ServerOptions(limits=Limits(entities=2))
    with AppClient(create_app(store, options)) as client:
        body = {"features": ["user/ratings:mean"], "entity_rows": [{"user_id": 7}] * 3}
        status, problem = refusal(client, body)
    assert (status, problem["code"]) == (413, "too_large")
    assert "2 may be at once" in problem["detail"]


def test_a_key_reads_only_the_tables_of_its_groups(tmp_path):
    store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
    for table in ("item/price", "user/ratings"):
        store.save(table, [{"id": 7, "city": "Pune"}], entity="id", online=True)
    keys = keys_of(store.path)
    reader, admin = (
        {"authorization": f"Bearer {keys.create(name, [scope], groups=[groups])[1]}"}
        for name, scope, groups in [("reader", "read", "item"), ("admin", "admin", "*")]
    )
    rows = {"entity_rows": [{"id": 7}]}
    with AppClient(create_app(store, ServerOptions())) as client:
        assert client.post("/online", json={"features": ["price:city"], **rows}, headers=reader).status_code == 200
        assert client.post("/online", json={"features": ["price:city"], **rows}).status_code == 401
        for features in (["user/ratings:city"], ["user/ratings:nope"], ["price:city", "ratings:city"], "ratings"):
            closed = {"features": features, "full_feature_names": True, **rows}
            for _ in ("unknown", "known because another caller has asked the same"):
                status, problem = refusal(client, closed, headers=reader)
                assert (status, problem["detail"]) == (
                    403,
                    "the key 'reader' does not cover all tables that this concerns",
                )
                client.post("/online", json=closed, headers=admin)


def test_what_is_computed_is_of_its_own_group_too(tmp_path):
    store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
    store.save("item/price", [{"id": 7, "price": 2.0}], entity="id", online=True)
    formula = {"inputs": ["item/price:price"], "outputs": {"y": pl.Float64}, "sql": {"y": "price * 3"}}
    for name in ("item/open", "secret/closed"):
        store.register(tiffin.on_demand(name, **formula))
    store.create_service("closed", ["secret/closed:y"])
    reader = {"authorization": f"Bearer {keys_of(store.path).create('reader', ['read'], groups=['item'])[1]}"}
    with AppClient(create_app(store, ServerOptions())) as client:
        found = [
            client.post("/online", json={"features": features, "entity_rows": [{"id": 7}]}, headers=reader).status_code
            for features in (["item/open"], ["secret/closed"], ["item/price:price", "secret/closed:y"], "closed")
        ]
    assert found == [200, 403, 403, 403]


# Features that are computed


@pytest.fixture(scope="module")
def computed(store) -> None:
    asked = {"stars": pl.Float64, "since": pl.Datetime("us", "UTC")}
    made = {"above": pl.Float64, "days": pl.Int64}
    sql = {"above": "stars - mean", "days": "CAST(extract(day FROM since) AS BIGINT)"}
    of = ["user/ratings:mean"]
    store.register(tiffin.on_demand("user/surprise", inputs=of, request=asked, outputs=made, sql=sql))
    store.create_service("surprises", ["user/surprise:above", "user/ratings:city"])


SINCE = "2024-01-09T00:00:00Z"


def test_features_are_computed_when_they_are_asked_for(client, computed):
    rows = [{"user_id": user, "stars": stars, "since": SINCE} for user, stars in ((7, 5.0), (9, 1), (7, None))]
    answer = ask(client, ["user/surprise:days", "user/ratings:city", "user/surprise:above"], rows)
    assert answer["rows"] == [
        {"user_id": 7, "days": 9, "city": "Pune", "above": 0.5},
        {"user_id": 9, "days": 9, "city": "?", "above": None},
        {"user_id": 7, "days": 9, "city": "Pune", "above": None},
    ]
    assert answer["statuses"]["above"] == ["PRESENT", "NULL_VALUE", "NULL_VALUE"]
    assert answer["statuses"]["city"] == ["PRESENT", "NULL_VALUE", "PRESENT"]
    assert answer["timestamps"]["above"] == [None] * 3
    assert None not in answer["timestamps"]["city"]
    assert answer["dtypes"] == {"user_id": "Int64", "days": "Int64", "city": "String", "above": "Float64"}
    assert answer["versions"].keys() == {"user/ratings"}
    msgspec.convert(answer, OnlineReply)


@pytest.mark.parametrize("features", ["surprises", ["user/surprise:above", "user/ratings:city"]])
def test_columns_services_words_and_no_entities_for_what_is_computed(client, computed, features):
    words = {"user_id": [7, 7], "stars": ["NaN", 5], "since": [SINCE, SINCE]}
    values = ask(client, features, words, path="/online?nan=text")["rows"]
    assert values == [{"user_id": 7, "above": above, "city": "Pune"} for above in ("NaN", 0.5)]
    for nothing in ([], {"user_id": [], "stars": [], "since": []}):
        assert ask(client, features, nothing)["rows"] == []
    for wrong in (True, "soon", 2**70, "x" * 5000):
        entity = {"user_id": 7, "stars": 1, "since": wrong}
        status, problem = refusal(client, {"features": features, "entity_rows": [entity]})
        assert (status, "'since'" in problem["detail"]) == (422, True)
    uneven = {"features": features, "entity_rows": {"user_id": [7, 8], "stars": [1], "since": [SINCE]}}
    assert "lengths" in refusal(client, uneven)[1]["detail"]


def test_keys_that_json_has_no_form_for_beside_what_is_computed(client, store):
    store.save("user/daily", [{"day": date(2024, 1, 1), "mean": 1.0}], entity="day", online=True)
    doubled = tiffin.on_demand(
        "user/doubled", inputs=["user/daily:mean"], outputs={"two": pl.Float64}, sql={"two": "2 * mean"}
    )
    store.register(doubled)
    assert ask(client, ["user/doubled"], [{"day": "2024-01-01"}])["rows"] == [{"day": "2024-01-01", "two": 2.0}]
    store.unregister("user/doubled")
    store.drop("user/daily")


def test_what_is_computed_may_take_the_name_of_a_table_that_was_asked_for_and_dropped(client, store):
    store.save("user/twice", [{"user_id": 7, "mean": 1.0}], entity="user_id", online=True)
    assert ask(client, ["user/twice"], [{"user_id": 7}])["rows"] == [{"user_id": 7, "mean": 1.0}]
    store.drop("user/twice")
    gone = {"features": ["user/twice"], "entity_rows": [{"user_id": 7}]}
    assert [refusal(client, gone)[0] for _ in range(2)] == [404, 404]
    twice = tiffin.on_demand(
        "user/twice", inputs=["user/ratings:mean"], outputs={"two": pl.Float64}, sql={"two": "2 * mean"}
    )
    store.register(twice)
    assert ask(client, ["user/twice"], [{"user_id": 7}])["rows"] == [{"user_id": 7, "two": 9.0}]
    store.unregister("user/twice")


def test_feast_is_answered_what_is_computed(client, computed):
    asked = {"feature_service": "surprises", "full_feature_names": True}
    entities = {"user_id": [7], "stars": [5], "since": [SINCE], "other": [1]}
    answer = client.post("/get-online-features", json={**asked, "entities": entities}).json()
    assert answer["metadata"]["feature_names"] == ["user_id", "surprise__above", "ratings__city"]
    assert [vector["values"] for vector in answer["results"]] == [[7], [0.5], ["Pune"]]
    assert [vector["statuses"] for vector in answer["results"]] == [["PRESENT"]] * 3
    assert answer["results"][1]["event_timestamps"] == ["1970-01-01T00:00:00Z"]


# What it follows


def test_saves_new_features_and_services_that_change_are_followed(client, store):
    def price() -> object:
        return ask(client, "prices", [{"item": 1}])["rows"]

    store.save("shop/stock", [{"item": 1, "price": 1}], entity="item", online=True)
    store.create_service("prices", ["shop/stock:price"])
    assert price() == [{"item": 1, "price": 1}]
    store.push("shop/stock", [{"item": 1, "price": 2}])
    assert price() == [{"item": 1, "price": 2}]
    store.save("shop/stock", [{"item": 1, "price": 3, "left": 5}], mode="append")
    store.create_service("prices", ["shop/stock:price", "shop/stock:left"], replace=True)
    assert price() == [{"item": 1, "price": 3, "left": 5}]
    store.drop_service("prices")
    store.drop("shop/stock")
    store.save("shop/stock", [{"item": 1, "price": "dear"}], entity="item", online=True)
    store.create_service("prices", ["shop/stock:price"])
    assert price() == [{"item": 1, "price": "dear"}]
    store.drop_service("prices")
    assert client.post("/online", json={"features": "prices", "entity_rows": []}).status_code == 404


# How long it takes


def test_a_plan_that_is_asked_for_again_and_again_stays_known(client, store):
    def features(number: int) -> list[str]:
        return ["user/ratings:mean", "user/ratings:city", *["user/ratings:mean"] * number]

    ask(client, features(0), [{"user_id": 7}])
    for number in range(1, 300):
        ask(client, features(number), [])
        assert store.plans.known(features(0)) is not None
    assert store.plans.known(features(1)) is None


def test_few_entities_are_answered_at_once_and_many_in_a_thread(client, store, monkeypatch):
    read_in = []
    real = OnlinePlan._ask

    def noted(plan, *args, **options):
        read_in.append(threading.current_thread().name.startswith("online"))
        return real(plan, *args, **options)

    monkeypatch.setattr(OnlinePlan, "_ask", noted)
    ask(client, ["user/ratings:mean"], [{"user_id": 7}])
    read_in.clear()
    ask(client, ["user/ratings:mean"], [{"user_id": 7}])
    ask(client, ["user/ratings:mean"], [{"user_id": 7}] * (asking.AT_ONCE + 1))
    assert read_in == [False, True]
    read_in.clear()
    # The watermark has moved: the tables are looked at, which may take long.
    store.push("user/ratings", [{"user_id": 11, "at": NOW, "mean": 1.0, "city": "Rome"}])
    ask(client, ["user/ratings:mean"], [{"user_id": 11}])
    assert read_in == [False, True]


def test_a_slow_read_keeps_no_other_waiting(client, store, monkeypatch):
    is_read, may_end = threading.Event(), threading.Event()
    real = OnlinePlan.read

    def slow(plan, rows, **options):
        is_read.set()
        assert may_end.wait(20)
        return real(plan, rows, **options)

    ask(client, ["user/ratings:mean"], [{"user_id": 7}])
    monkeypatch.setattr(OnlinePlan, "read", slow)
    many = threading.Thread(target=ask, args=(client, ["user/ratings:mean"], [{"user_id": 7}] * 1000), daemon=True)
    many.start()
    assert is_read.wait(20)
    start = time.monotonic()
    assert ask(client, ["user/ratings:mean"], [{"user_id": 7}])["rows"][0]["mean"] == 4.5
    assert time.monotonic() - start < 10
    may_end.set()
    many.join(20)
    assert not many.is_alive()


# What the document says


def test_the_document_says_what_is_taken_and_given(client):
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/online"]["post"]
    schemas = document["components"]["schemas"]
    taken = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    given = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    for kind, name in ((OnlineQuestion, taken), (OnlineReply, given)):
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        assert schemas[name]["properties"].keys() == fields.keys()
        assert set(schemas[name]["required"]) == {name for name, field in fields.items() if field.required}
    assert {parameter["name"] for parameter in operation["parameters"]} == {"nan"}
    # What is given is what the document says, and the example in it can be asked.
    example = {
        name: about["examples"][0] for name, about in schemas[taken]["properties"].items() if "examples" in about
    }
    reply = client.post("/online", json={**example, "features": ["user/ratings:mean"]})
    decoded = msgspec.json.decode(reply.content, type=OnlineReply, strict=True)
    assert reply.json().keys() == schemas[given]["properties"].keys()
    assert [row["user_id"] for row in decoded.rows] == [row["user_id"] for row in example["entity_rows"]]


def test_a_body_whose_decoding_would_keep_all_others_waiting_is_refused(client):
    body = b'{"features": ["user/ratings:mean"], "entity_rows": [' + b" " * direct.MOST_BYTES + b"]}"
    for path in ("/online", "/get-online-features"):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
