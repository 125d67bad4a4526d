"""What callers may do and see whose keys cover some groups, or some scopes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

import tiffin
from app_client import AppClient
from tiffin.access import keys_of
from tiffin.server.app import create_app
from tiffin.server.options import ServerOptions
from tiffin.wire.media import ARROW

START = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"id": [1, 2], "at": [START, START], "mean": [1.0, 2.0]})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with tiffin.FeatureStore(tmp_path_factory.mktemp("store")) as opened:
        opened.save("g/t", ROWS, entity="id", timestamp="at", online=True)
        opened.save("other/u", ROWS.rename({"mean": "median"}), entity="id", timestamp="at", online=True)
        opened.create_service("mine", ["g/t:mean"])
        opened.create_service("theirs", ["g/t:mean", "other/u:median"])
        opened.save_training_set("secret", opened.get_historical_features(None, ["other/u:median"]))
        opened.save("g/mixed", ROWS, inputs=["g/t", "other/u", "other/gone", "a.csv"], description="median of both")
        opened.derive("g/of_other", {"source": "other/u", **WINDOWS})
        opened.derive("g/twice", {"source": "g/of_other", "entity": "id", "windows": ["all"],
                                  "aggregations": {"count_all": "max"}})  # fmt: skip
        outputs = {"y": pl.Float64}
        opened.register(tiffin.on_demand("g/od", inputs=["other/u:median"], outputs=outputs, sql={"y": "median"}))
        opened.register(tiffin.on_demand("g/own", inputs=["g/t:mean"], outputs=outputs, sql={"y": "mean * 2"}))
        opened.register(tiffin.on_demand("other/of_own", inputs=["g/t:mean"], outputs=outputs, sql={"y": "mean * 2"}))
        opened.create_service("computed", ["other/of_own:y"])
        opened.save_training_set("computed", opened.get_historical_features(None, ["other/of_own:y"]))
        yield opened


@pytest.fixture(scope="module")
def client(store):
    with AppClient(create_app(store, ServerOptions())) as client:
        yield client


def said(answer, status: int = 200):
    assert answer.status_code == status, answer.text
    return answer.json()


class Keyed:
    """A client that shows a key."""

    def __init__(self, client: AppClient, secret: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {secret}"}

    def __call__(self, method: str, path: str, **options):
        headers = {**self._headers, **options.pop("headers", {})}
        return self._client.request(method, path, headers=headers, **options)


@pytest.fixture(scope="module")
def keyed(client, store):
    keys = keys_of(store.path)
    made = {
        "reader": keys.create("reader", ("read",), ("g",))[1],
        "writer": keys.create("writer", ("write",), ("g",))[1],
        "admin": keys.create("admin", ("admin",), ("g",))[1],
        "root": keys.create("root", ("admin",))[1],
    }
    return {name: Keyed(client, secret) for name, secret in made.items()}


SPINE = {"spine": [{"id": 1, "event_timestamp": "2024-05-05T00:00:00Z", "y": 1.0}]}

WINDOWS = {"entity": "id", "windows": ["all"], "aggregations": {"*": "count"}}
DOUBLE = {"outputs": {"y": "Float64"}, "sql": {"y": "mean * 2"}}

CLOSED = [
    ("GET", "/features/other/u", None),
    ("GET", "/features/other/u/info", None),
    ("POST", "/features/other/u", {"records": [{"id": 1}]}),
    ("POST", "/features/batch", {"feature_names": ["g/t", "u"]}),
    ("GET", "/tables/other/u", None),
    ("GET", "/tables/-/u", None),
    ("DELETE", "/tables/other/u", None),
    ("POST", "/tables/other/u", {"rows": [{"id": 1}]}),
    ("POST", "/tables/other/new", {"rows": [{"id": 1}]}),
    ("POST", "/tables/other/u/read", {}),
    ("GET", "/tables/other/u/history", None),
    ("GET", "/tables/other/u/diff?old=0", None),
    ("GET", "/tables/other/u/profile", None),
    ("POST", "/tables/other/u/restore", {"version": 0}),
    ("POST", "/tables/other/u/push", {"rows": [{"id": 1}]}),
    ("POST", "/tables/other/u/materialize", {}),
    ("POST", "/tables/other/u/explain", {"entity": 1}),
    ("POST", "/online", {"features": ["other/u:median"], "entity_rows": [{"id": 1}]}),
    ("POST", "/online", {"features": "theirs", "entity_rows": [{"id": 1}]}),
    ("POST", "/historical?features=theirs", SPINE),
    ("POST", "/historical?features=g/t:mean&features=u:median", None),
    ("POST", "/leakage?features=u:median&label=y", SPINE),
    ("POST", "/verify", {"features": ["other/u"]}),
    ("POST", "/verify", {}),
    ("POST", "/push", {"push_source_name": "u", "df": {"id": [1]}}),
    ("POST", "/push", {"push_source_name": "other/u@99", "df": {"id": [1]}}),
    ("POST", "/services", {"name": "new", "features": ["other/u:median"]}),
    ("POST", "/services", {"name": "theirs", "features": ["g/t:mean"], "replace": True}),
    ("GET", "/services/theirs", None),
    ("DELETE", "/services/theirs", None),
    ("GET", "/training-sets/secret", None),
    ("POST", "/training-sets/secret/reproduce", None),
    ("DELETE", "/training-sets/secret", None),
    ("POST", "/online/materialize", {}),
    ("GET", "/stats", None),
    ("POST", "/vacuum", {}),
    ("POST", "/vacuum", {"table": "other/u"}),
    ("POST", "/compact", {"table": "u"}),
    ("GET", "/examine", None),
    ("GET", "/examine?table=other/u", None),
    ("POST", "/online", {"features": ["other/of_own:y"], "entity_rows": [{"id": 1}]}),
    ("POST", "/historical", {"features": ["other/of_own:y"], **SPINE}),
    ("POST", "/historical", {"features": "computed", **SPINE}),
    ("POST", "/leakage", {"features": ["other/of_own:y"], "label": "y", **SPINE}),
    ("POST", "/verify", {"features": ["other/of_own:y"]}),
    ("POST", "/services", {"name": "new", "features": ["other/of_own:y"]}),
    ("GET", "/training-sets/computed", None),
    ("POST", "/training-sets/computed/reproduce", None),
    ("DELETE", "/training-sets/computed", None),
    ("POST", "/tables/other/u/plan", {"rows": [{"id": 1}]}),
    ("PATCH", "/tables/other/u", {"owner": "me"}),
    ("POST", "/tables/other/u/rename", {"old": "x", "new": "y"}),
    ("POST", "/tables/other/u/deprecate", {"feature": "x", "message": "old"}),
    ("POST", "/tables/other/u/drop-columns", {"names": ["x"]}),
    ("GET", "/tables/other/u/tags", None),
    ("PUT", "/tables/other/u/tags/prod", {"version": 0}),
    ("DELETE", "/tables/other/u/tags/prod", None),
    ("GET", "/tables/other/u/stages", None),
    ("POST", "/tables/other/u/stages/s", {"rows": [{"id": 1}]}),
    ("POST", "/tables/other/u/stages/s/promote", {}),
    ("DELETE", "/tables/other/u/stages/s", None),
    ("GET", "/tables/other/u/constraints", None),
    ("POST", "/tables/other/u/constraints", {"constraints": ["id > 0"]}),
    ("DELETE", "/tables/other/u/constraints?constraint=x", None),
    ("POST", "/tables/other/u/check", {}),
    ("GET", "/tables/other/u/quarantine", None),
    ("DELETE", "/tables/other/u/quarantine", None),
    ("POST", "/tables/other/u/drift", {"baseline": 0}),
    ("GET", "/tables/other/u/lineage", None),
    ("GET", "/tables/other/u/openlineage", None),
    ("GET", "/tables/g/mixed/openlineage", None),
    ("GET", "/definitions?references=g/t&references=other/u", None),
    ("POST", "/definitions", {"definitions": '[tables."other/u"]'}),
    ("POST", "/definitions", {"definitions": '[tables."other/u"]', "plan": True}),
    ("POST", "/definitions", {"definitions": '[services.new]\nfeatures = ["other/u:x"]'}),
    ("POST", "/definitions", {"definitions": '[services.theirs]\nfeatures = ["g/t:mean"]'}),
    ("POST", "/definitions?plan=true", {"definitions": '[services.theirs]\nfeatures = ["g/t:mean"]'}),
    ("POST", "/derived/other/new", {"definition": {"source": "g/t", **WINDOWS}}),
    ("POST", "/derived/g/new", {"definition": {"source": "other/u", **WINDOWS}}),
    ("POST", "/derived/refresh", {}),
    ("POST", "/derived/g/of_other/refresh", {}),
    ("POST", "/derived/g/twice/refresh", {}),
    ("POST", "/on-demand", {"name": "other/new", "inputs": ["g/t:mean"], **DOUBLE}),
    ("POST", "/on-demand", {"name": "g/new", "inputs": ["other/u:x"], **DOUBLE}),
    ("POST", "/on-demand", {"name": "g/od", "inputs": ["g/t:mean"], **DOUBLE, "replace": True}),
    ("DELETE", "/on-demand/g/od", None),
    ("POST", "/on-demand/g/od/prove", {"rows": [{"id": 1}]}),
]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    CLOSED,
    ids=[f"{method} {path} {number}" for number, (method, path, _) in enumerate(CLOSED)],
)
def test_a_key_reaches_its_own_groups_alone(keyed, store, method, path, body):
    answer = keyed["admin"](method, path, **({} if body is None else {"json": body}))
    assert said(answer, 403)["code"] == "forbidden"
    assert "other" not in answer.text
    assert "median" not in answer.text
    assert [(table.table, table.version) for table in store.tables() if table.table > "h"] == [("other/u", 0)]
    assert {service.name for service in store.services()} >= {"mine", "theirs"}


def test_lists_show_what_the_caller_may_see(keyed):
    assert "other/u" not in [table["table"] for table in said(keyed["reader"]("GET", "/tables"))]
    assert [service["name"] for service in said(keyed["reader"]("GET", "/services"))] == ["mine"]
    assert said(keyed["reader"]("GET", "/training-sets")) == []
    assert list(said(keyed["reader"]("GET", "/ready"))["online"]) == ["g/t"]
    assert "other/u" in [table["table"] for table in said(keyed["root"]("GET", "/tables"))]
    assert len(said(keyed["root"]("GET", "/training-sets"))) == 2


def test_lists_of_what_is_made_show_what_the_caller_may_see(keyed):
    reader, root = keyed["reader"], keyed["root"]
    assert [one["table"] for one in said(reader("GET", "/derived"))] == ["g/twice"]
    assert "other/u" not in reader("GET", "/tables/g/of_other").text + reader("GET", "/tables").text
    assert [one["table"] for one in said(root("GET", "/derived"))] == ["g/of_other", "g/twice"]
    assert [one["name"] for one in said(reader("GET", "/on-demand"))] == ["g/own"]
    found = said(reader("GET", "/search?text=median"))
    assert [match["name"] for match in found] == ["g/mixed"]
    assert {match["name"] for match in said(root("GET", "/search?text=median"))} >= {
        "other/u:median",
        "theirs",
        "g/mixed",
    }
    assert said(reader("GET", "/search?text=secret")) == []
    known = said(reader("GET", "/definitions"))
    assert (list(known["services"]), [name for name in known["tables"] if name > "h"]) == (["mine"], [])
    assert "theirs" in said(root("GET", "/definitions"))["services"]


def test_lineage_stops_at_what_the_caller_may_not_see(keyed):
    told = keyed["reader"]("GET", "/tables/g/mixed/lineage")
    assert {node["name"] for node in said(told)["nodes"]} == {"g/mixed", "g/t", "a.csv"}
    assert "other" not in told.text
    assert said(keyed["reader"]("GET", "/tables/g/mixed/history"))[0]["inputs"] == ["g/t", "a.csv"]
    assert "other/u" in said(keyed["root"]("GET", "/tables/g/mixed/history"))[0]["inputs"]
    down = said(keyed["reader"]("GET", "/tables/g/t/lineage"))
    assert {node["name"] for node in down["nodes"]} == {"g/t", "mine", "g/mixed"}
    assert "theirs" in keyed["root"]("GET", "/tables/g/t/lineage").text
    assert len(said(keyed["root"]("GET", "/tables/g/mixed/openlineage"))) >= 1


def test_a_plan_names_services_that_the_caller_may_see(keyed):
    asked = {"json": {"rows": [{"id": 1, "at": "2024-05-01T00:00:00Z"}], "evolve": True}}
    told = keyed["reader"]("POST", "/tables/g/t/plan", **asked)
    assert (said(told)["refusal"]["code"], [lost["service"] for lost in said(told)["loses"]]) == ("in_use", ["mine"])
    assert "theirs" not in told.text
    assert "theirs" in keyed["root"]("POST", "/tables/g/t/plan", **asked).text


def test_errors_do_not_name_what_is_closed(keyed):
    hidden = keyed["reader"]("GET", "/tables/-/unknown")
    assert "other" not in hidden.text
    assert said(hidden, 404)["code"] == "table_not_found"
    assert "other/u" in keyed["root"]("GET", "/tables/-/unknown").text


@pytest.mark.parametrize(
    ("who", "method", "path", "body", "status"),
    [
        ("reader", "GET", "/tables/g/t", None, 200),
        ("reader", "POST", "/tables/g/t/read", {}, 200),
        ("reader", "POST", "/historical?features=mine", SPINE, 200),
        ("reader", "POST", "/tables/g/t", {"rows": [{"id": 1}]}, 403),
        ("reader", "POST", "/services", {"name": "new", "features": ["g/t"]}, 403),
        ("writer", "POST", "/tables/g/new", {"rows": [{"id": 1}]}, 200),
        ("writer", "POST", "/vacuum", {"table": "g/t"}, 403),
        ("writer", "GET", "/examine?table=g/t", None, 403),
        ("admin", "POST", "/vacuum", {"table": "g/t"}, 200),
        ("admin", "GET", "/examine?table=g/t", None, 200),
        ("root", "GET", "/examine", None, 200),
        ("reader", "POST", "/tables/g/t/plan", {"rows": [{"id": 1}]}, 200),
        ("reader", "GET", "/tables/g/t/tags", None, 200),
        ("reader", "PUT", "/tables/g/t/tags/prod", {"version": 0}, 403),
        ("reader", "PATCH", "/tables/g/t", {"owner": "me"}, 403),
        ("reader", "POST", "/tables/g/t/check", {}, 200),
        ("reader", "POST", "/definitions?plan=true", {"definitions": '[services.mine]\nfeatures = ["g/t:mean"]'}, 200),
        ("reader", "POST", "/definitions", {"definitions": '[services.mine]\nfeatures = ["g/t:mean"]'}, 403),
        ("writer", "DELETE", "/tables/g/t/quarantine", None, 403),
        ("admin", "DELETE", "/tables/g/t/quarantine", None, 200),
    ],
)
def test_scopes(keyed, who, method, path, body, status):
    said(keyed[who](method, path, **({} if body is None else {"json": body})), status)


@pytest.mark.parametrize("path", ["/tables", "/metrics", "/stats", "/features/g/t"])
def test_without_a_key_nothing_but_the_open_pages(keyed, client, path):
    assert said(client.get(path), 401)["code"] == "unauthenticated"
    for open_path in ("/health", "/ready", "/docs", "/openapi.json"):
        assert client.get(open_path).status_code == 200
    assert said(client.get("/ready"))["online"] == {}


def test_what_is_closed_cannot_be_replaced_either(keyed, store):
    arrow = {"Accept": ARROW, "Content-Type": "application/json"}
    mine = keyed["writer"]("POST", "/historical?features=mine", json=SPINE, headers=arrow).content
    sent = {"content": mine, "headers": {"Content-Type": ARROW}}
    said(keyed["writer"]("POST", "/training-sets/secret?replace=true", **sent), 403)
    assert list(store.training_set("secret").lock) == ["other/u"]
    for _ in range(2):
        said(keyed["writer"]("POST", "/training-sets/own?replace=true", **sent))
        service = {"name": "own", "features": ["g/t:mean"], "replace": True}
        said(keyed["writer"]("POST", "/services", json=service))


@pytest.mark.parametrize(
    "forged",
    [
        {"features": {"mean": "other/u@0:median"}},
        {"features": {"mean": "g/t@0:mean", "median": "other/u@0:median"}},
        {"sources": {}},
        {"spine": ["id", "id"]},
        {"spine": ["missing"]},
        {"column_hashes": {}},
    ],
)
def test_a_lock_that_was_tampered_with_is_no_training_set(keyed, forged):
    arrow = {"Accept": ARROW, "Content-Type": "application/json"}
    table = pa.ipc.open_stream(
        keyed["writer"]("POST", "/historical?features=mine", json=SPINE, headers=arrow).content
    ).read_all()
    about = json.loads(table.schema.metadata[b"tiffin"])
    about["lock"] |= forged
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata({b"tiffin": json.dumps(about)})
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table.cast(schema))
    sent = {"content": sink.getvalue().to_pybytes(), "headers": {"Content-Type": ARROW}}
    assert said(keyed["root"]("POST", "/training-sets/forged", **sent), 422)["code"] == "invalid_input"
    said(keyed["root"]("GET", "/training-sets/forged"), 404)


def test_what_is_in_use_does_not_say_by_what_to_who_may_not_see_all(store, keyed):
    told = keyed["admin"]("DELETE", "/tables/g/t")
    assert said(told, 409)["code"] == "in_use"
    assert "theirs" not in told.text
    assert "theirs" in keyed["root"]("DELETE", "/tables/g/t").text
