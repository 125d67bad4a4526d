"""Every route once, as a caller sees it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from app_client import AppClient
from tiffin.errors import StorageError
from tiffin.frames import FeatureFrame
from tiffin.server import health
from tiffin.server.app import create_app
from tiffin.server.options import Limits, ServerOptions
from tiffin.wire import from_stream, to_parquet, to_stream
from tiffin.wire.media import ARROW, CSV, IDEMPOTENCY_KEY, PARQUET

START = datetime(2024, 5, 1, tzinfo=UTC)
RATINGS = pl.DataFrame({"id": [1, 2, 2], "at": [START, START, START.replace(day=3)], "mean": [1.0, 2.0, 3.0]})


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", compact_files=0) as opened:
        opened.save("g/t", RATINGS, entity="id", timestamp="at", online=True)
        yield opened


@pytest.fixture
def client(store):
    with AppClient(create_app(store, ServerOptions(limits=Limits(entities=50, rows_per_request=50)))) as client:
        yield client


def said(answer, status: int = 200):
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_tables_are_listed_described_and_dropped(client, store):
    (table,) = said(client.get("/tables"))
    assert (table["table"], table["path"], table["entity"]) == ("g/t", "features/g/t", ["id"])
    assert said(client.get("/tables/g/t")) == table
    store.save("g/t", RATINGS.head(1))
    assert said(client.get("/tables/g/t?version=0")) == table
    assert said(client.get("/tables/-/t"))["version"] == 1
    assert said(client.request("DELETE", "/tables/g/t"), 204) is None
    assert store.tables() == []


def test_history_diff_and_restore(client, store):
    store.save("g/t", RATINGS.head(1), message="fewer")
    commits = said(client.get("/tables/g/t/history"))
    assert [(commit["version"], commit["message"], commit["path"]) for commit in commits] == [
        (1, "fewer", "features/g/t"),
        (0, "", "features/g/t"),
    ]
    assert len(said(client.get("/tables/g/t/history?limit=1"))) == 1
    assert said(client.get("/tables/g/t/diff?old=0"))["rows_removed"] == 2
    restored = said(client.post("/tables/g/t/restore", json={"version": 0, "message": "back"}))
    assert (restored["version"], restored["rows"], restored["message"]) == (2, 3, "back")


def test_push_and_materialize(client, store):
    row = {"id": 9, "at": "2024-05-09T00:00:00Z", "mean": 9}
    pushed = said(client.post("/tables/g/t/push", json={"rows": [row], "message": "one more"}))
    assert (pushed["version"], pushed["online_version"], pushed["rows"]) == (1, 1, 4)
    (done,) = said(client.post("/tables/g/t/materialize", json={"from_scratch": True}))
    assert (done["entities_written"], done["from_scratch"]) == (3, True)
    (done,) = said(client.post("/online/materialize"))
    assert (done["table"], done["entities_written"]) == ("g/t", 0)
    assert said(client.post("/verify", json={}))["tables"][0]["values_different"] == 0


def test_explain(client):
    told = said(client.post("/tables/g/t/explain", json={"feature": "mean", "entity": 2, "at": "2024-05-02"}))
    assert told["values"] == {"mean": 2.0}
    assert told["row"]["commit"]["path"] == "features/g/t"
    assert [other["reason"] for other in told["others"]] == ["after the time asked"]


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_a_spine_gets_its_features_in_every_format(client, store, form):
    spine = pl.DataFrame({"id": [2, 1, 2], "event_timestamp": [START, START, START.replace(day=9)], "y": [1, 2, 3]})
    path = "/historical?features=g/t:mean&full_feature_names=true"
    if form == "json":
        rows = [
            {"id": row["id"], "event_timestamp": row["event_timestamp"].isoformat(), "y": row["y"]}
            for row in spine.to_dicts()
        ]
        answer = client.post(path, json={"spine": rows})
        assert [row["g__t__mean"] for row in said(answer)["rows"]] == [2.0, 1.0, 3.0]
        assert said(answer)["lock"]["features"] == {"g__t__mean": "g/t@0:mean"}
        return
    if form == "csv":
        body = spine.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()
        answer = client.post(path, content=body, headers={"Content-Type": CSV, "Accept": ARROW})
    else:
        body = b"".join(to_stream(FeatureFrame(spine)))
        answer = client.post(path, content=body, headers={"Content-Type": ARROW, "Accept": ARROW})
    frame = from_stream(answer.content).frame
    assert frame.to_polars()["g__t__mean"].to_list() == [2.0, 1.0, 3.0]
    assert frame.lock.recipe.features == {"g__t__mean": "g/t@0:mean"}


def test_without_a_spine_the_tables_make_one(client):
    made = said(client.post("/historical?features=g/t:mean&start=2024-05-02&end=2024-05-30"))
    assert [(row["id"], row["mean"]) for row in made["rows"]] == [(2, 3.0)]


def test_leakage(client):
    spine = [{"id": 1, "event_timestamp": "2024-05-01T00:00:00Z", "y": 1.0}]
    told = said(client.post("/leakage?features=g/t:mean&label=y", json={"spine": spine}))
    assert (told["label"], told["rows"]) == ("y", 1)


def test_services(client, store):
    made = said(client.post("/services", json={"name": "rec", "features": ["t:mean"], "description": "for it"}))
    assert made["features"] == ["g/t:mean"]
    assert said(client.get("/services")) == [made]
    assert said(client.get("/services/rec")) == made
    said(client.post("/services", json={"name": "rec", "features": ["g/t"]}), 409)
    assert said(client.post("/historical?features=rec"))["columns"].keys() == {"id", "event_timestamp", "mean"}
    said(client.request("DELETE", "/tables/g/t"), 409)
    said(client.request("DELETE", "/services/rec"), 204)
    said(client.get("/services/rec"), 404)


def test_training_sets(client, store):
    frame = client.post("/historical?features=g/t:mean", headers={"Accept": ARROW}).content
    made = said(client.post("/training-sets/one?description=d", content=frame, headers={"Content-Type": ARROW}))
    assert (made["name"], made["description"], made["lock"]["versions"]) == ("one", "d", {"g/t": 0})
    assert said(client.get("/training-sets")) == [made]
    assert said(client.get("/training-sets/one")) == made
    store.save("g/t", RATINGS.head(0), evolve=True)
    again = client.post("/training-sets/one/reproduce", headers={"Accept": ARROW})
    assert_frame_equal(from_stream(again.content).frame.to_polars(), from_stream(frame).frame.to_polars())
    said(client.post("/training-sets/two", json={"rows": []}), 415)
    said(client.request("DELETE", "/training-sets/one"), 204)
    said(client.post("/training-sets/one/reproduce"), 404)


def test_housekeeping(client, store):
    for number in range(3):
        store.save("g/t", RATINGS.head(number), mode="append")
    assert said(client.get("/stats"))["path"] == "."
    (merged,) = said(client.post("/compact", json={"table": "g/t"}))
    assert merged["operation"] == "compact"
    (gone,) = said(client.post("/vacuum", json={"keep_versions": 1, "dry_run": True}))
    assert gone["versions_removed"] == 4
    said(client.post("/vacuum", json={"keep_versions": 1}))
    assert len(store.history("g/t")) == 1
    assert said(client.get("/examine")) == []


def test_health_ready_and_metrics(client, store):
    assert said(client.get("/health"))["status"] == "healthy"
    ready = said(client.get("/ready"))
    assert ready == {"status": "ready", "online": {"g/t": {"version": 0, "online_version": 0, "behind": 0}}}
    client.get("/features/g/t")
    metrics = client.get("/metrics").text
    assert 'tiffin_rows_served_total{route="/features/{group}/{name}"} 3.0' in metrics
    assert 'tiffin_online_lag_versions{table="g/t"} 0.0' in metrics


def test_a_store_that_cannot_be_read_is_not_ready(client, store):
    log = store.path / "features/g/t/_delta_log/00000000000000000000.json"
    log.write_bytes(log.read_bytes().replace(b"WRITE", b"write"))
    fresh = tiffin.FeatureStore(store.path)
    with AppClient(create_app(fresh, ServerOptions())) as client:
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert str(store.path) not in answer.text
        assert client.get("/health").status_code == 200


def test_a_store_whose_folder_is_gone_is_not_ready(client, store):
    store.path.rename(store.path.with_name("elsewhere"))
    answer = client.get("/ready")
    assert said(answer, 503)["detail"] == "the store cannot be read"
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("is_left_empty", [False, True], ids=["no folder", "an empty folder"])
def test_a_store_that_is_away_is_not_made_anew_by_a_save(client, store, is_left_empty):
    away = store.path.rename(store.path.with_name("away"))
    if is_left_empty:
        # As an unmounted disk leaves it.
        store.path.mkdir()
    body = {"rows": [{"id": 9, "mean": 1.0}]}
    for path in ("/tables/g/new", "/tables/g/t?mode=append", "/features/g/t"):
        assert said(client.post(path, json=body), 503)["code"] == "storage"
    pushed = {"push_source_name": "t", "df": {"id": [9]}}
    assert client.post("/push", json=pushed).status_code == 503
    assert client.get("/ready").status_code == 503
    assert not (store.path / "features").exists()
    # Its folder came back: so does the store.
    if is_left_empty:
        store.path.rename(store.path.with_name("empty"))
    away.rename(store.path)
    assert client.post("/tables/g/new", json=body).status_code == 200


def test_a_folder_of_the_same_number_on_another_disk_is_another(client, store, monkeypatch):
    assert client.get("/ready").status_code == 200
    found = health.LOCAL.stat(store.path)
    mounted = SimpleNamespace(stat=lambda path: found._replace(device=found.device + 1))
    monkeypatch.setattr(health, "LOCAL", mounted)
    assert client.get("/ready").status_code == 503


def test_a_store_that_was_never_there_is_made_by_the_first_save(tmp_path):
    options = ServerOptions(audit_log="-")
    with (
        tiffin.FeatureStore(tmp_path / "new") as store,
        AppClient(create_app(store, options)) as client,
    ):
        assert not store.path.exists()
        for table in ("a", "b"):
            assert client.post(f"/tables/g/{table}", json={"rows": [{"id": 1}]}).status_code == 200


def test_frames_of_too_many_columns_and_questions_of_too_many_references_are_refused(store):
    limits = Limits(columns_per_request=5, references_per_request=3)
    wide = pl.DataFrame({f"c{number}": [1] for number in range(6)})
    with AppClient(create_app(store, ServerOptions(limits=limits))) as client:
        bodies = {
            "application/json": b'{"rows": [%b]}' % wide.write_ndjson().encode(),
            ARROW: b"".join(to_stream(FeatureFrame(wide))),
            PARQUET: to_parquet(FeatureFrame(wide)),
            CSV: wide.write_csv().encode(),
        }
        for media, body in bodies.items():
            answer = client.post("/tables/g/wide", content=body, headers={"Content-Type": media})
            assert "6 columns" in said(answer, 413)["detail"], media
        narrow = wide.select(wide.columns[:5]).write_csv().encode()
        assert client.post("/tables/g/wide", content=narrow, headers={"Content-Type": CSV}).status_code == 200
        rows = {"entity_rows": [{"id": 1}]}
        store.plans.recall(["g/t:mean"] * 4)
        for path, asked in (
            ("/online", {"features": ["g/t:mean"] * 4, **rows}),
            ("/get-online-features", {"features": ["t:mean"] * 4, "entities": {"id": [1]}}),
            ("/historical", {"features": ["g/t:mean"] * 4, "spine": [{"id": 1}]}),
            ("/services", {"name": "many", "features": ["g/t:mean"] * 4}),
        ):
            assert "3 may be at once" in said(client.post(path, json=asked), 413)["detail"], path
        assert client.post("/online", json={"features": ["g/t:mean"] * 3, **rows}).status_code == 200


FAR = datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))


@pytest.mark.parametrize(
    "forged", [{"ttl": timedelta(seconds=-1)}, {"ttl": timedelta(0)}, {"known_at": FAR}, {"made": FAR}], ids=str
)
def test_a_lock_that_nobody_can_have_made_is_refused(client, store, forged):
    frame = store.get_historical_features(None, ["g/t:mean"])
    for name, value in forged.items():
        msgspec.structs.force_setattr(frame.lock.recipe, name, value)
    answer = client.post("/training-sets/forged", content=b"".join(to_stream(frame)), headers={"Content-Type": ARROW})
    assert said(answer, 422)["code"] == "invalid_input"
    # One that was kept before such were refused is told of.
    with suppress(StorageError):
        store.save_training_set("forged", frame)
    assert said(client.post("/training-sets/forged/reproduce"), 500)["code"] == "corrupt_data"
    assert client.request("DELETE", "/training-sets/forged").status_code == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tables/g/t?mode=append", {"rows": [{"id": 5, "at": "2024-05-05", "mean": 5}]}),
        ("/tables/g/t/push", {"rows": [{"id": 5, "at": "2024-05-05", "mean": 5}]}),
        ("/features/g/t", {"records": [{"id": 5, "at": "2024-05-05", "mean": 5}]}),
    ],
)
def test_a_write_that_is_sent_again_lands_once(client, store, path, body):
    headers = {IDEMPOTENCY_KEY: "0f3c"}
    first = said(client.post(path, json=body, headers=headers))
    assert said(client.post(path, json=body, headers=headers)) == first
    assert store.describe("g/t").version == 1
    other = client.post(
        path, json={**body, "message": "x"} if "rows" in body else {"records": [{"id": 6}]}, headers=headers
    )
    assert said(other, 409)["code"] == "conflict"
    said(client.post(path, json=body, headers={IDEMPOTENCY_KEY: "a b"}), 422)
    assert store.describe("g/t").version == 1


def test_more_entities_than_may_be_asked_about_at_once_are_refused(client):
    said(client.post("/features/batch", json={"feature_names": ["t"], "entity_ids": list(range(51))}), 413)
    said(client.post("/tables/g/t/read", json={"entities": list(range(51))}), 413)


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("POST", "/vacuum?dry_run=true", "/docs"),
        ("POST", "/compact?table=g/t", "/docs"),
        ("POST", "/tables/g/t/materialize?from_scratch=true", "/docs"),
        ("POST", "/tables/g/t/read?limit=1", "nan"),
        ("DELETE", "/tables/g/t?forec=true", "force"),
        ("DELETE", "/services/any?force=true", "/docs"),
        ("GET", "/features/g/t?colums=id", "columns"),
        ("GET", "/tables?group=g", "/docs"),
        ("POST", "/online?nam=text", "nan"),
    ],
)
def test_a_parameter_that_the_route_does_not_have_is_told_and_nothing_is_done(client, store, method, path, hint):
    told = said(client.request(method, path), 422)
    assert "there is no parameter" in told["detail"]
    assert hint in told["hint"]
    assert len(store.history("g/t")) == 1


@pytest.mark.parametrize("where", [[["id", "==", 1]] * 201, [[["id", "==", 1]] * 201], [["id", "in", list(range(51))]]])
def test_more_comparisons_than_can_be_made_in_time_are_refused(client, where):
    said(client.post("/tables/g/t/read", json={"where": where}), 413)
