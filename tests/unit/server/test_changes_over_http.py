"""What only HTTP has of the routes by which tables evolve, are tried, checked and found: forms, bounds, statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

import tiffin
from app_client import AppClient
from tiffin.frames import FeatureFrame
from tiffin.server.app import create_app
from tiffin.server.options import Limits, ServerOptions
from tiffin.wire import to_stream
from tiffin.wire.media import ARROW, CSV, JSON, TOML

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
RATINGS = "/tables/user/ratings"
ON_DEMAND = {"name": "a/b", "inputs": ["user/ratings:mean"], "outputs": {"y": "Float64"}, "sql": {"y": "mean"}}


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        rows = pl.DataFrame({"user_id": range(100), "at": [NOON] * 100, "mean": [float(n % 5) for n in range(100)]})
        opened.save("user/ratings", rows, entity="user_id", timestamp="at", online=True)
        yield opened


@pytest.fixture
def client(store):
    with AppClient(create_app(store, ServerOptions(limits=Limits(rows_per_answer=1000)))) as client:
        yield client


def said(answer, status: int = 200):
    assert answer.status_code == status, answer.text
    return answer.json()


def problem(answer, status: int, code: str):
    told = said(answer, status)
    assert (told["status"], told["code"]) == (status, code)
    return told


@pytest.mark.parametrize("name", ["prod", "true", "null", "1e3", "2024-05-01"])
def test_versions_go_by_number_and_by_name(client, name):
    assert said(client.request("PUT", f"{RATINGS}/tags/{name}", json={"version": 0}))["version"] == 0
    client.post(RATINGS, json={"rows": [{"user_id": 1, "at": "2024-05-02T00:00:00Z", "mean": 1.0}]})
    for version in (0, name):
        assert said(client.get(f"/features/user/ratings?version={version}&limit=1"))["metadata"]["total_rows"] == 100
        assert said(client.get(f"{RATINGS}?version={version}"))["version"] == 0
        assert said(client.get(f"{RATINGS}/diff?old={version}"))["rows_old"] == 100
        assert said(client.post(f"{RATINGS}/read", json={"version": version, "limit": 1}))["versions"] == {
            "user/ratings": 0
        }
        assert said(client.post(f"{RATINGS}/drift", json={"baseline": version}))["baseline"]["version"] == 0
    problem(client.get(f"{RATINGS}?version=no_such"), 404, "version_not_found")
    problem(client.get(f"{RATINGS}?version=-1"), 422, "invalid_name")
    problem(client.request("PUT", f"{RATINGS}/tags/7", json={"version": 0}), 422, "invalid_name")


def test_a_stage_has_a_tag_of_its_own_to_each_edition(client):
    rows = {"rows": [{"user_id": 1, "at": "2024-05-02T00:00:00Z", "mean": 1.0}]}
    said(client.post(f"{RATINGS}/stages/try", json=rows))
    page = client.get("/features/user/ratings?version=try")
    known = {"If-None-Match": page.headers["etag"]}
    assert client.get("/features/user/ratings?version=try", headers=known).status_code == 304
    said(client.post(f"{RATINGS}/stages/try?replace=true", json={"rows": rows["rows"] * 1, "mode": "append"}))
    assert said(client.get("/features/user/ratings?version=try", headers=known))["metadata"]["total_rows"] == 101


def test_definitions_are_toml_or_json_both_ways(client, store):
    toml = client.get("/definitions", headers={"Accept": TOML})
    assert toml.headers["content-type"].startswith(TOML)
    assert toml.text == tiffin.definitions.write(store.definitions())
    changed = toml.text.replace("online = true", 'owner = "anna"\nonline = true')
    sent = {"content": changed.encode(), "headers": {"Content-Type": TOML}}
    (change,) = said(client.post("/definitions?plan=true", **sent))["changes"]
    assert (change["field"], change["new"]) == ("owner", "anna")
    assert said(client.post("/definitions?message=from+git", **sent))["versions"] == {"user/ratings": 1}
    known = said(client.get("/definitions", headers={"Accept": JSON}))
    known["tables"]["user/ratings"]["owner"] = "bob"
    assert said(client.post("/definitions?plan=true", json={"definitions": known}))["is_plan"]
    assert not said(client.post("/definitions?plan=true", json={"definitions": known, "plan": False}))["is_plan"]
    assert store.describe("user/ratings").owner == "bob"
    known["tables"]["user/ratings"]["owner"] = "eve"
    problem(client.post("/definitions", json={"definitions": known, "expected": toml.text}), 409, "commit_conflict")
    assert client.get("/definitions", headers={"Accept": CSV}).status_code == 406


def test_definitions_that_would_take_minutes_to_read_are_refused_at_once(client):
    sent = {"headers": {"Content-Type": TOML}}
    problem(client.post("/definitions?plan=true", content="a." * 50_000 + "a = 1", **sent), 422, "invalid_input")
    problem(client.post("/definitions?plan=true", content="#" * (5 << 20), **sent), 413, "too_large")
    said(client.post("/definitions", content=b"\xff", headers={"Content-Type": TOML}), 400)
    problem(client.post("/definitions", json={"definitions": "[tables"}), 422, "invalid_input")
    problem(client.post("/definitions", json={"definitions": {"tables": {"../x": {}}}}), 422, "invalid_name")
    problem(client.post("/definitions", json=["x"]), 422, "invalid_input")


def test_constraints_in_a_url_are_words_or_json(client, store):
    frame = b"".join(to_stream(FeatureFrame(pl.DataFrame({"k": [1], "x": [1.0]}))))
    about = {"entity": "k", "constraints": ["x >= 0", '{"column": "x", "max": 5, "name": "small"}']}
    said(client.post("/tables/user/t", params=about, content=frame, headers={"Content-Type": ARROW}))
    assert [one["name"] for one in said(client.get("/tables/user/t/constraints"))] == ["x_min", "small"]
    assert (
        said(client.request("DELETE", "/tables/user/t/constraints?constraint=x_min&constraint=small"))["version"] == 1
    )
    assert store.describe("user/t").constraints == ()
    wrong = {"constraints": ['{"column"']}
    problem(
        client.post("/tables/user/t", params=wrong, content=frame, headers={"Content-Type": ARROW}),
        422,
        "invalid_input",
    )


def test_what_is_told_of_broken_constraints_is_bounded(client, store):
    rules = [{"name": f"rule_{number}", "column": "mean", "max": 9} for number in range(30)]
    said(client.post(f"{RATINGS}/constraints", json={"constraints": rules}))
    store.save("user/texts", [{"k": 1, "text": "a"}], entity="k", constraints=["text has at most 1000 characters"])
    rows = [{"user_id": 1, "at": "2024-05-01T00:00:00Z", "mean": 10.0}]
    told = problem(client.post(f"{RATINGS}?mode=append", json={"rows": rows}), 422, "constraint_violated")
    assert (len(told["context"]["violations"]), len(told["detail"]) <= 10_000) == (20, True)
    assert told["context"]["violations"][0]["examples"] == [
        {"user_id": 1, "at": "2024-05-01T00:00:00Z", "mean": 10.0}
    ]  # fmt: skip
    long = client.post("/tables/user/texts?mode=append", json={"rows": [{"k": 2, "text": "x" * 5000}]})
    assert len(problem(long, 422, "constraint_violated")["context"]["violations"][0]["examples"][0]["text"]) == 200
    assert "context" not in said(client.get("/tables/user/none"), 404)


def test_quarantine_is_given_in_pages(client, store):
    store.constrain("user/ratings", "mean <= 4")
    bad = pl.DataFrame({"user_id": range(1500), "at": [NOON] * 1500, "mean": [9.0] * 1500})
    store.save("user/ratings", bad, mode="append", on_violation="quarantine")
    page = said(client.get(f"{RATINGS}/quarantine?limit=2&offset=3"))
    assert (page["total_rows"], [row["user_id"] for row in page["rows"]]) == (1500, [3, 4])
    problem(client.get(f"{RATINGS}/quarantine"), 413, "too_large")
    assert said(client.get(f"{RATINGS}/quarantine?offset={2**53 - 1}"))["rows"] == []
    lines = client.get(f"{RATINGS}/quarantine?limit=1", headers={"Accept": CSV}).text.splitlines()
    assert lines[0].startswith("user_id,at,mean,quarantine_reason")
    assert said(client.request("DELETE", f"{RATINGS}/quarantine")) == {"rows": 1500}


def test_rows_are_compared_in_any_format(client):
    same = [{"user_id": n, "mean": float(n % 5)} for n in range(100)]
    assert not said(client.post(f"{RATINGS}/drift", json={"baseline": 0, "rows": same}))["drifted"]
    far = "mean\n" + "\n".join(["50.0"] * 100)
    answer = client.post(f"{RATINGS}/drift?baseline=0", content=far.encode(), headers={"Content-Type": CSV})
    assert said(answer)["drifted"]
    loose = {"baseline": 0, "current": "online", "feature": "mean", "thresholds": {"psi": None}}
    assert said(client.post(f"{RATINGS}/drift", json=loose))["current"]["rows"] == 100
    assert said(client.post(f"{RATINGS}/drift", json={"baseline": "2100-01-01T00:00:00Z"}))["baseline"]["version"] == 0
    assert not said(client.post(f"{RATINGS}/drift?baseline=0"))["drifted"]
    problem(client.post(f"{RATINGS}/drift", json={}), 422, "invalid_input")
    problem(client.post(f"{RATINGS}/drift", json={"baseline": "12:00"}), 422, "invalid_input")
    problem(client.post(f"{RATINGS}/drift", json={"baseline": True}), 422, "invalid_input")


def test_what_a_body_goes_before_must_make_sense_too(client):
    rows = {"rows": [{"user_id": 1, "at": "2024-05-02T00:00:00Z", "mean": 1.0}], "mode": "append"}
    assert said(client.post(f"{RATINGS}/plan?mode=overwrite", json=rows))["mode"] == "append"
    problem(client.post(f"{RATINGS}/plan?mode=sideways", json=rows), 422, "invalid_input")
    problem(client.post(f"{RATINGS}?mode=sideways", json=rows), 422, "invalid_input")


def test_no_answer_says_where_the_store_lies(client, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").touch()
    store.save("user/made", [{"user_id": 1}], entity="user_id", inputs=["user/ratings", Path("log.csv")])
    for path in ("/tables/user/made/openlineage", "/tables/user/made/lineage", "/derived", "/search?text=made"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert str(store.path) not in answer.text
        assert str(store.path.parent) not in answer.text
    event = said(client.get("/tables/user/made/openlineage"))[-1]
    assert [one["name"] for one in event["outputs"]] == ["features/user/made"]
    assert {one["name"] for one in event["inputs"]} == {"features/user/ratings", "log.csv"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/on-demand", {**ON_DEMAND, "outputs": {"y": "Float65"}}),
        ("/on-demand", {**ON_DEMAND, "sql": {}}),
        ("/on-demand", {**ON_DEMAND, "name": "b"}),
        ("/derived/user/x", {"definition": {"source": 7}}),
        ("/derived/user/x", {"definition": {"source": "user/ratings", "colour": 1}}),
        (f"{RATINGS}/deprecate", {"feature": "mean"}),
        (f"{RATINGS}/deprecate", {"feature": "mean", "message": "old", "removal": "soon"}),
        (f"{RATINGS}/drop-columns", {"names": []}),
        (f"{RATINGS}/constraints", {"constraints": [{"colour": 1}]}),
        (f"{RATINGS}/constraints", {"constraints": [7]}),
        (f"{RATINGS}/check", {"version": 0, "as_of": "2024-05-01"}),
        (f"{RATINGS}/stages/x/promote", {"replace": True}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(client, store, path, body):
    assert said(client.post(path, json=body), 422)["hint"]
    assert [table.table for table in store.tables()] == ["user/ratings"]
    assert (store.describe("user/ratings").version, store.registered()) == (0, [])
