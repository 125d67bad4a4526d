"""The commands of the catalogue and of lineage."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click
import polars as pl
import pytest

from tiffin import FeatureStore
from tiffin.cli.arguments import fields
from tiffin.cli.commands import catalogue
from tiffin.derived.proof import Disagreement, Proof
from tiffin.errors import InvalidInputError


@pytest.fixture
def store(cli) -> FeatureStore:
    return FeatureStore("feature_store", record_code=False)


@pytest.fixture
def agreed(monkeypatch):
    """Someone at a terminal who agrees to everything."""
    asked = []
    monkeypatch.setattr(catalogue, "ask", lambda _run, question, _otherwise: asked.append(question))
    monkeypatch.setattr("tiffin.cli.arguments.editing.ask", lambda _run, question, _otherwise: asked.append(question))
    return asked


def test_fields_are_set_and_taken_away(cli, store):
    sets = ["owner=search team", "labels.team=x", "labels.pii=", "links=https://a.b, https://c.d", "ttl=30d"]
    sets += ["columns.mean.unit=stars", "columns.mean.default=3", 'columns."rated_at".description=when', "online=no"]
    cli("declare", "ratings", *[word for field in sets for word in ("--set", field)])
    info = store.describe("ratings")
    columns = {column.name: column for column in info.columns}
    assert (info.owner, info.labels, info.links) == (
        "search team", {"team": "x", "pii": ""}, ("https://a.b", "https://c.d"),
    )  # fmt: skip
    assert (info.ttl.days, info.online) == (30, False)
    assert (columns["mean"].unit, columns["mean"].default, columns["rated_at"].description) == ("stars", 3.0, "when")
    unsets = ["owner", "labels.team", "links", "ttl", "columns.mean.default", "columns.mean.unit"]
    cli("declare", "ratings", *[word for field in unsets for word in ("--unset", field)])
    info = store.describe("ratings")
    assert (info.owner, info.labels, info.links, info.ttl) == ("", {"pii": ""}, (), None)
    assert (info.columns[1].default, info.columns[1].unit) == (None, "")
    assert "declares that already" in cli("declare", "ratings", "--set", "owner=").stdout


UNSETTABLE = (
    "ownr=x, owner, columns=x, columns.mean=x, columns.mean.unti=x, columns.a.b.c=x, labels=x, "
    "columns.mean.default=word, a b=x, .=x, ttl=soon, online=perhaps"
)


@pytest.mark.parametrize("field", UNSETTABLE.split(", "))
def test_fields_that_are_none_are_refused(field):
    with pytest.raises(InvalidInputError):
        fields.said([field], [], lambda: {"mean": pl.Float64()})


@pytest.mark.parametrize("field", ["columns.meen.unit=x", "rule=kind"])
def test_fields_that_the_table_cannot_have_are_refused(cli, store, field):
    cli("declare", "ratings", "--set", field, status=1)
    assert store.describe("ratings").version == 1


def test_nothing_to_declare_is_wrong_usage(cli):
    cli("declare", "ratings", status=2)


def test_describe_shows_what_is_said(cli, store):
    store.declare("ratings", owner="ann", labels={"team": "x"}, columns={"mean": {"unit": "stars"}})
    shown = cli("describe", "ratings").stdout
    for word in ("ann", "team=x", "stars", "newest row"):
        assert word in shown
    assert cli.json("describe", "ratings")["columns"][1]["unit"] == "stars"


def test_definitions_go_to_a_file_and_are_applied_once(cli, store):
    store.declare("ratings", owner="ann")
    text = cli("definitions", "export").stdout
    assert tomllib.loads(text)["tables"]["user/ratings"]["owner"] == "ann"
    assert cli.json("definitions", "export", "ratings")["tables"]["user/ratings"]["owner"] == "ann"
    Path("definitions.toml").write_text(text.replace("ann", "bob") + '[services.ranker]\nfeatures = ["ratings:mean"]\n')
    planned = cli("apply", "definitions.toml", "--plan").stdout
    assert '~ owner: "ann" → "bob"' in planned
    assert "+ features" in planned
    assert "nothing was done" in planned
    assert store.describe("ratings").owner == "ann"
    cli("apply", "definitions.toml", status=2)
    assert cli.json("apply", "definitions.toml", "--yes", "-m", "reviewed")["versions"] == {"user/ratings": 3}
    assert store.history("ratings")[0].message == "reviewed"
    assert store.service("ranker").features == ("user/ratings:mean",)
    again = cli.json("apply", "definitions.toml", "--yes")
    assert (again["changes"], again["versions"]) == ([], {})
    assert cli("apply", "-", "--yes", given=text).stdout.count("applied") == 1


def test_a_file_that_cannot_be_applied_is_told(cli):
    cli("apply", "none.toml", "--yes", status=1)
    Path("bad.toml").write_bytes(b"\xff")
    cli("apply", "bad.toml", "--yes", status=1)
    Path("bad.toml").write_text('[tables."user/ratings"]\nownr = 1\n')
    assert 'tables."user/ratings".ownr' in cli("apply", "bad.toml", "--yes", status=1).stderr
    Path("bad.toml").write_text('[tables."user/gone"]\n')
    assert "--missing-ok" in cli("apply", "bad.toml", "--plan", status=1).stderr
    assert cli.json("apply", "bad.toml", "--plan", "--missing-ok")["missing"] == ["user/gone"]


def test_someone_who_agrees_is_asked_and_the_plan_is_shown(cli, store, agreed):
    Path("d.toml").write_text('[tables."user/ratings"]\nowner = "ann"\n')
    assert "+ owner" in cli("apply", "d.toml").stderr
    assert agreed == ["Apply this?"]
    assert store.describe("ratings").owner == "ann"


def test_what_a_table_declares_is_changed_in_an_editor(cli, store, agreed, monkeypatch):
    seen = []

    def edit(text: str, extension: str) -> str:
        seen.append(text)
        assert extension == ".toml"
        return text.replace(
            '[tables."user/ratings".columns.mean]\n', '[tables."user/ratings".columns.mean]\nunit = "stars"\n'
        )

    monkeypatch.setattr(click, "edit", edit)
    cli("describe", "ratings", "--edit", "-m", "units")
    assert "columns.rated_at" in seen[0]
    assert agreed == ["Declare this?"]
    assert store.describe("ratings").columns[1].unit == "stars"
    assert store.history("ratings")[0].message == "units"
    monkeypatch.setattr(click, "edit", lambda text, extension: text)
    assert "nothing was changed" in cli("describe", "ratings", "--edit").stdout
    monkeypatch.setattr(click, "edit", lambda text, extension: None)
    assert "nothing was changed" in cli("describe", "ratings", "--edit").stdout
    assert store.describe("ratings").version == 2


def test_what_cannot_be_read_is_edited_again(cli, store, agreed, monkeypatch):
    texts = iter(['[tables."user/ratings"]\nownr = "x"\n', '[tables."user/ratings"]\nowner = "x"\n'])
    monkeypatch.setattr(click, "edit", lambda text, extension: next(texts))
    told = cli("describe", "ratings", "--edit").stderr
    assert "there is no such key" in told
    assert agreed == ["Edit it again?", "Declare this?"]
    assert store.describe("ratings").owner == "x"


@pytest.mark.parametrize("left", ["", "\n\n", "# nothing but a remark\n"])
def test_who_leaves_nothing_in_the_editor_has_thought_better_of_it(cli, store, agreed, monkeypatch, left):
    monkeypatch.setattr(click, "edit", lambda text, extension: left)
    assert "nothing was changed" in cli("describe", "ratings", "--edit").stdout
    assert agreed == []


def test_a_type_that_is_none_is_wrong_input_and_no_damage(cli):
    words = ["--input", "user/ratings:mean", "--output", "y=Flt", "--sql", "y=mean * 2"]
    told = cli("on-demand", "add", "user/twice", *words, status=1).stderr
    assert "'Flt' is no type" in told
    assert "damaged" not in told


def test_on_demand_features_are_proved_on_the_rows_of_a_file(cli, store, monkeypatch):
    store.declare("user/ratings", online=True)
    words = ["--request", "clicked=Float64", "--output", "y=Float64", "--sql", "y=mean + clicked"]
    cli("on-demand", "add", "user/clicks", "--input", "user/ratings:mean", *words)
    told = cli("on-demand", "prove", "user/clicks", "spine.csv").stdout
    assert "the same offline, online, alone and in any order, on 6 rows" in told
    differs = Disagreement(how="online", feature="y", row={}, expected=1, found=2)
    proof = Proof(name="user/clicks", rows=6, disagreements=(differs,))
    monkeypatch.setattr(FeatureStore, "prove", lambda *given: proof)
    assert "1, and 2 online" in cli("on-demand", "prove", "user/clicks", "spine.csv", status=1).stdout


def test_what_changed_while_it_was_edited_is_not_written_over(cli, store, agreed, monkeypatch):
    def edit(text: str, extension: str) -> str:
        store.declare("ratings", owner="someone else")
        return '[tables."user/ratings"]\nowner = "me"\n'

    monkeypatch.setattr(click, "edit", edit)
    assert "declared anew meanwhile" in cli("describe", "ratings", "--edit", status=1).stderr
    assert store.describe("ratings").owner == "someone else"


def test_search_shows_what_is_found(cli, store):
    store.declare("ratings", columns={"mean": {"unit": "stars"}})
    assert "user/ratings:mean" in cli("search", "stars").stdout
    assert [match["name"] for match in cli.json("search", "stars")] == ["user/ratings:mean"]
    assert "nothing is called" in cli("search", "qqqq").stdout
    cli("search", "/", status=1)


def test_lineage_is_shown_drawn_and_exported(cli, store):
    cli("save", "user/copy", "ratings.csv", "--input", "user/ratings", "--input", "ratings.csv", "--input", "by hand")
    recognised = {one.name: one for one in store.history("user/copy")[0].recognised}
    assert recognised["user/ratings"].version == 1
    assert recognised["ratings.csv"].size_bytes == Path("ratings.csv").stat().st_size
    shown = cli("lineage", "user/copy").stdout
    for word in ("made from", "user/ratings version 1", "ratings.csv xxh3", "by hand"):
        assert word in shown
    assert "read by" in cli("lineage", "user/ratings").stdout
    assert "no save says" in cli("lineage", "user/ratings", "--direction", "up").stdout
    assert cli("lineage", "user/copy", "--mermaid").stdout.startswith("flowchart LR")
    cli("lineage", "user/copy", "--svg", "out.svg", "--openlineage", "out.jsonl")
    assert Path("out.svg").read_text().startswith("<svg")
    events = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [event["job"]["name"] for event in events] == ["overwrite user/copy"]
    assert cli("lineage", "user/copy", "--svg", "-").stdout.startswith("<svg")
    assert cli.json("lineage", "user/copy", "--depth", "0")["edges"] == []


def test_a_damaged_table_is_listed_in_its_place(cli):
    FeatureStore("feature_store").save("user/bad", [{"a": 1}])
    log = Path("feature_store/features/user/bad/_delta_log")
    (log / f"{0:020}.json").write_bytes(b'{"commitInfo":{"checksum":"aaaaaaaaaaaaaaaa-0000000001","x":1}}\n')
    told = cli("ls")
    assert "cannot be read" in told.stdout
    assert "user/ratings" in told.stdout
    assert "tiffin doctor user/bad" in told.stderr
    assert [table["problem"] != "" for table in cli.json("ls")["tables"]] == [True, False]
    exported = cli("definitions", "export")
    assert '[tables."user/ratings"]' in exported.stdout
    assert "warning: table user/bad cannot be read, and is left out" in exported.stderr
