"""What a store promises of versions, evolution, constraints and what is made of tables: here and over HTTP."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

import tiffin
from conformance.stores import DAY, NOW, failure, spine_of
from tiffin import errors
from tiffin.frames import FeatureFrame

# Versions by name, and versions that are tried


def test_tags_stand_for_versions(store, ratings):
    store.save(ratings, [{"user_id": 7, "at": NOW, "mean": 1.0, "city": "Bonn"}], message="one")
    tag = store.tag(ratings, 0, "prod", message="it is good")
    assert (tag.table, tag.name, tag.version, tag.message) == (ratings, "prod", 0, "it is good")
    assert store.tags(ratings) == (tag,)
    for frame in (
        store.read(f"{ratings}@prod"),
        store.read(ratings, version="prod"),
        store.read(f"{ratings}@prod:mean"),
    ):
        assert (len(frame), frame.lock) == (3, {ratings: 0})
    assert store.describe(f"{ratings}@prod").version == 0
    assert store.diff(ratings, "prod").rows_new == 1
    assert store.profile(f"{ratings}@prod").rows == 3
    assert [column.name for column in store.profile(f"{ratings}@prod:mean").columns] == ["mean"]
    assert store.explain(f"{ratings}@prod:mean", 7).row.values["mean"] == 4.5
    assert store.get_historical_features(spine_of(7), [f"{ratings}@prod:mean"]).to_polars()["mean"].to_list() == [4.5]
    failure(errors.ConflictError, lambda: store.tag(ratings, 1, "prod"))
    failure(errors.InvalidName, lambda: store.tag(ratings, 1, "7"))
    failure(errors.InvalidName, lambda: store.tag(ratings, 1, "../x"))
    assert store.tag(ratings, 1, "prod", move=True).version == 1
    assert store.tag(ratings, "prod", "also").version == 1
    assert store.restore(ratings, "prod").version == 2
    assert store.untag(ratings, "also") is None
    failure(errors.VersionNotFound, lambda: store.untag(ratings, "also"))
    failure(errors.VersionNotFound, lambda: store.read(f"{ratings}@also"))
    failure(errors.InvalidInputError, lambda: store.read(f"{ratings}@prod", version="prod"))


def test_stages_are_tried_and_promoted(store, ratings):
    rows = [{"user_id": 7, "at": NOW, "mean": 1.0, "city": "Bonn"}]
    stage = store.stage(ratings, rows, "candidate", message="better", inputs=["log"])
    assert (stage.base, stage.behind, stage.rows, stage.inputs, stage.message) == (0, 0, 1, ("log",), "better")
    assert store.stages(ratings) == (stage,)
    assert store.read(f"{ratings}@candidate").to_polars()["mean"].to_list() == [1.0]
    assert store.describe(f"{ratings}@candidate").stage == "candidate"
    assert (len(store.read(ratings)), store.diff(ratings, 0, "candidate").rows_new) == (3, 1)
    failure(errors.ConflictError, lambda: store.stage(ratings, rows, "candidate"))
    failure(errors.SchemaMismatch, lambda: store.stage(ratings, [{"user_id": "x"}], "other"))
    store.stage(ratings, rows, "candidate", mode="upsert", replace=True)
    assert store.read(ratings, version="candidate").to_polars().height == 4
    commit = store.promote(ratings, "candidate", message="go")
    assert (commit.version, commit.rows, commit.message, commit.online_version) == (1, 4, "go", 1)
    assert store.stages(ratings) == ()
    failure(errors.VersionNotFound, lambda: store.promote(ratings, "candidate"))
    store.stage(ratings, rows, "late")
    store.save(ratings, rows, mode="append")
    failure(errors.CommitConflict, lambda: store.promote(ratings, "late"))
    assert store.discard(ratings, "late") is None
    failure(errors.VersionNotFound, lambda: store.discard(ratings, "late"))


# Evolution


def test_a_plan_tells_what_a_save_would_do(store, ratings, group):
    store.create_service(group, [f"{ratings}:mean"])
    rows = [{"user_id": 7, "at": NOW, "city": "Bonn"}]
    plan = store.plan(ratings, rows, evolve=True)
    assert (plan.ok, plan.refusal.code, plan.version) == (False, "in_use", 0)
    assert [(lost.service, lost.features) for lost in plan.loses] == [(group, ("mean",))]
    assert store.plan(ratings, rows).refusal.code == "schema_mismatch"
    fine = store.plan(ratings, pl.DataFrame(rows), evolve=True, force=True, constraints=["city is not null"])
    assert (fine.ok, fine.rows, fine.rows_after, fine.major) == (True, 3, 1, 1)
    assert [(change.kind, change.name) for change in fine.changes] == [("removed", "mean")]
    assert store.plan(f"{group}/new", rows, entity="user_id", mode="append").version is None
    assert store.describe(ratings).version == 0
    store.drop_service(group)


def test_features_are_renamed_deprecated_and_dropped(store, ratings):
    assert store.rename(ratings, "mean", "average", message="clearer").message == "clearer"
    assert store.read(f"{ratings}:average").columns == ["user_id", "at", "average"]
    assert store.read(f"{ratings}:mean").columns[-1] == "mean"
    assert store.get_online_features([f"{ratings}:mean"], [{"user_id": 7}]).to_dict()["mean"] == [4.5]
    failure(errors.InvalidInputError, lambda: store.rename(ratings, "user_id", "id"))
    failure(errors.FeatureNotFound, lambda: store.rename(ratings, "nope", "x"))
    commit = store.deprecate(ratings, "city", "use the country", removal=dt.date(2030, 1, 31), instead="average")
    assert commit.operation == "deprecate"
    marks = {column.name: column.deprecated for column in store.describe(ratings).columns}
    assert (marks["city"].message, marks["city"].removal, marks["city"].instead) == (
        "use the country", dt.date(2030, 1, 31), "average",
    )  # fmt: skip
    store.deprecate(ratings, "city", None)
    assert {column.deprecated for column in store.describe(ratings).columns} == {None}
    failure(errors.InvalidInputError, lambda: store.deprecate(ratings, "city", ""))
    store.drop_columns(ratings, "city")
    assert [column.name for column in store.describe(ratings).columns] == ["user_id", "at", "average"]
    failure(errors.FeatureNotFound, lambda: store.drop_columns(ratings, ["city"]))
    failure(errors.InvalidInputError, lambda: store.drop_columns(ratings, []))


def test_deprecated_features_are_warned_of(store, ratings, group):
    store.deprecate(ratings, "city", "“é” is\nold", instead="mean")
    with pytest.warns(errors.DeprecatedFeature, match="is deprecated: “é” is\nold; use mean instead") as told:
        store.get_historical_features(spine_of(7), [f"{ratings}:city"])
    assert told[0].filename == __file__
    with pytest.warns(errors.DeprecatedFeature):
        store.create_service(group, [f"{ratings}:city"])
    store.drop_service(group)
    store.get_historical_features(spine_of(7), [f"{ratings}:mean"])


def test_tables_declare_what_they_are(store, ratings):
    commit = store.declare(
        ratings, owner="anna", labels={"team": "reco", "pii": ""}, links=["https://example.org"], ttl=7 * DAY,
        rule="full", columns={"mean": {"unit": "stars", "labels": {"kind": "score"}}}, message="said",
    )  # fmt: skip
    info = store.describe(ratings)
    mean = next(column for column in info.columns if column.name == "mean")
    assert (commit.version, info.owner, info.labels, info.ttl) == (1, "anna", {"pii": "", "team": "reco"}, 7 * DAY)
    assert (info.rule, info.links, mean.unit, mean.labels) == (
        "full", ("https://example.org",), "stars", {"kind": "score"},
    )  # fmt: skip
    whole = tiffin.definitions.ColumnDefinition(description="How they rate")
    store.declare(
        ratings, labels={"pii": None}, ttl=dt.timedelta(), owner="", columns={"mean": whole}, defaults={"city": None}
    )
    info = store.describe(ratings)
    mean = next(column for column in info.columns if column.name == "mean")
    assert (info.labels, info.ttl, info.owner) == ({"team": "reco"}, None, "")
    assert (mean.unit, mean.labels, mean.description) == ("", {}, "How they rate")
    failure(errors.FeatureNotFound, lambda: store.declare(ratings, columns={"nope": {"unit": "x"}}))
    failure(errors.InvalidInputError, lambda: store.declare(ratings, columns={"mean": {"colour": "x"}}))


def test_definitions_are_applied(store, ratings, group):
    store.save(ratings, [{"user_id": 7, "at": NOW, "mean": 1.0, "city": "é"}], constraints=["mean between 0 and 5"])
    store.create_service(group, [f"{ratings}:mean"], description="for the model")
    before = store.definitions([ratings])
    assert (list(before.tables), before.services) == ([ratings], {})
    assert group in store.definitions().services
    assert set(store.definitions([ratings], every_column=True).tables[ratings].columns) > {"mean", "user_id"}
    text = tiffin.definitions.write(before)
    changed = text.replace("How they rate", "So they rate")
    assert [change.field for change in store.apply(changed, plan=True).changes] == ["description"]
    assert store.describe(ratings).description == "How they rate"
    applied = store.apply(tiffin.definitions.read(changed), message="from git")
    assert (applied.is_plan, applied.versions) == (False, {ratings: 2})
    assert store.history(ratings)[0].message == "from git"
    assert store.apply(changed).changes == ()
    failure(errors.CommitConflict, lambda: store.apply(text, expected=before))
    failure(errors.InvalidInputError, lambda: store.apply("[tables"))
    failure(errors.TableNotFound, lambda: store.apply(f'[tables."{group}/none"]'))
    assert store.apply(f'[tables."{group}/none"]', missing_ok=True).missing == (f"{group}/none",)
    store.drop_service(group)


# Constraints


def test_rows_must_satisfy_constraints(store, ratings):
    commit = store.constrain(ratings, "mean between 0 and 5", {"name": "known", "column": "city", "not_null": True,
                                                               "severity": "warn"}, message="rules")  # fmt: skip
    assert (commit.message, len(commit.warnings)) == ("rules", 1)
    assert [constraint.name for constraint in store.describe(ratings).constraints] == ["mean_range", "known"]
    bad = pl.DataFrame({"user_id": [1, 2], "at": [NOW, NOW], "mean": [9.5, 1.0], "city": ["a", "b"]})
    error = failure(errors.ConstraintViolated, lambda: store.save(ratings, bad, mode="append"))
    (told,) = error.context["violations"]
    assert (told["constraint"], told["rows"], told["examples"][0]["mean"]) == ("mean_range", 1, 9.5)
    assert "9.5" in str(error)
    failure(errors.ConstraintViolated, lambda: store.constrain(ratings, "mean >= 4"))
    failure(errors.InvalidInputError, lambda: store.constrain(ratings, {"column": "mean"}))
    failure(errors.SchemaMismatch, lambda: store.constrain(ratings, "nope > 1"))
    report = store.check(ratings)
    assert (report.ok, [violation.constraint for violation in report.violations]) == (True, ["known"])
    assert store.check(ratings, version=0).constraints == store.check(f"{ratings}@0").constraints == 0
    store.unconstrain(ratings, "mean_range", "known")
    assert store.describe(ratings).constraints == ()
    failure(errors.InvalidInputError, lambda: store.unconstrain(ratings, "mean_range"))


def test_rows_are_kept_apart(store, group):
    table = f"{group}/t"
    rules = ["x between 0 and 5", tiffin.schema.constraints.kinds.Rows(min_rows=1)]
    store.save(table, [{"k": 1, "x": 1.0}], entity="k", constraints=rules, rule="none")
    commit = store.save(table, [{"k": 2, "x": 9.0}, {"k": 3, "x": 3.0}], mode="append", on_violation="quarantine")
    assert (commit.rows_added, len(store.read(table))) == (1, 2)
    apart = store.quarantine(table)
    assert type(apart) is FeatureFrame
    assert apart.to_polars().select("k", "x", "quarantine_version", "quarantine_landed").rows() == [(2, 9.0, 1, True)]
    assert store.clear_quarantine(table) == 1
    assert len(store.quarantine(table)) == store.clear_quarantine(table) == 0
    failure(errors.InvalidInputError, lambda: store.save(table, [{"k": 4, "x": 1.0}], on_violation="drop"))


# What values look like, where they come from, what there is


def test_drift(store, group):
    table = f"{group}/t"
    random = np.random.default_rng(0)
    store.save(table, pl.DataFrame({"k": range(500), "x": random.normal(size=500)}), entity="k", online=True)
    between = store.history(table)[0].timestamp
    shifted = pl.DataFrame({"k": range(500), "x": random.normal(size=500) + 3})
    store.save(table, shifted)
    found = store.drift(table, 0)
    assert (found.drifted, found.baseline.version, found.current.version) == (True, 0, 1)
    assert found.column("x").drifted
    assert store.drift(table, between).drifted
    assert not store.drift(table, 1, "online").drifted
    assert not store.drift(f"{table}:x", 0, 1, thresholds={"psi": None, "ks": None, "js": None}).drifted
    assert not store.drift(table, 1, shifted, columns=["x"], thresholds={"x.psi": 0.5}).drifted
    failure(errors.VersionNotFound, lambda: store.drift(table, 7))
    failure(errors.VersionNotFound, lambda: store.drift(table, "no_tag"))
    failure(errors.InvalidInputError, lambda: store.drift(table, 0, thresholds={"colour": 1}))
    failure(errors.InvalidInputError, lambda: store.drift(f"{table}@0", 0))


def test_lineage(store, ratings, group):
    store.save(f"{group}/made", [{"user_id": 7, "x": 1.0}], entity="user_id", inputs=[ratings, "a log"])
    store.create_service(group, [f"{group}/made:x"])
    found = store.lineage(ratings)
    kinds = {node.name: node.kind for node in found.nodes}
    assert (kinds[ratings], kinds[f"{group}/made"], kinds[group]) == ("table", "table", "service")
    assert {node.name for node in store.lineage(f"{group}/made@0", direction="up").nodes} == {
        f"{group}/made", ratings, "a log",
    }  # fmt: skip
    assert [node.name for node in store.lineage(ratings, depth=0, version=0).nodes] == [ratings]
    events = store.openlineage(f"{group}/made")
    assert [event["job"]["name"] for event in events][-1] == f"overwrite {group}/made"
    assert events[-1]["inputs"][0]["name"].endswith(f"features/{ratings}")
    failure(errors.InvalidInputError, lambda: store.lineage(ratings, direction="sideways"))
    failure(errors.VersionNotFound, lambda: store.lineage(ratings, version=9))
    store.drop_service(group)


def test_search(store, ratings, group):
    store.declare(ratings, owner=f"{group} people")
    found = store.search(group)
    assert type(found) is tuple
    assert ratings in [match.name for match in found]
    assert len(store.search(group, limit=1)) == 1
    assert store.search("zebra") == ()
    failure(errors.InvalidInputError, lambda: store.search("!"))


# Derived features


def test_derived_tables(store, group):
    events = [{"user_id": 7, "at": NOW - number * DAY, "stars": float(number)} for number in range(5)]
    store.save(f"{group}/events", events, entity="user_id", timestamp="at")
    what = {"source": f"{group}/events", "entity": "user_id", "windows": ["2d", "all"],
            "aggregations": {"stars": "mean", "*": "count"}, "where": ["stars", "<", 4]}  # fmt: skip
    commit = store.derive(f"{group}/activity", what, online=True)
    assert commit.online_version == commit.version == 0
    answer = store.get_online_features([f"{group}/activity:count_all"], [{"user_id": 7}])
    assert answer.to_dict()["count_all"] == [4]
    store.save(f"{group}/events", [{"user_id": 7, "at": NOW, "stars": 1.0}], mode="append")
    mine = next(one for one in store.derived() if one.table == f"{group}/activity")
    assert (mine.definition.source, mine.behind, mine.online) == (f"{group}/events", 1, True)
    assert [one.table for one in store.refresh(f"{group}/activity", message="again")] == [f"{group}/activity"]
    assert store.refresh() == []
    failure(errors.InvalidInputError, lambda: store.refresh(f"{group}/events"))
    failure(errors.InvalidInputError, lambda: store.derive(f"{group}/x", {**what, "windows": ["2 fortnights"]}))
    failure(errors.TableNotFound, lambda: store.derive(f"{group}/x", {**what, "source": f"{group}/none"}))
    failure(errors.ConflictError, lambda: store.derive(f"{group}/events", {**what, "source": f"{group}/activity"}))


def test_features_computed_on_demand(store, ratings, group):
    name = f"{group}/surprise"
    asked = {"inputs": [f"{ratings}:mean"], "request": {"stars": pl.Float64}, "outputs": {"above": pl.Float64}}
    features = tiffin.on_demand(name, **asked, sql={"above": "stars - mean"}, description="Above the mean")
    made = store.register(features)
    assert (made.name, made.sql, made.description) == (name, {"above": "stars - mean"}, "Above the mean")
    assert made in store.registered()
    assert store.register(features) == made
    spine = pl.DataFrame({"user_id": [7], "event_timestamp": [NOW], "stars": [5.0]})
    assert store.get_historical_features(spine, [f"{name}:above"]).to_polars()["above"].to_list() == [0.5]
    answer = store.get_online_features([f"{name}:above"], [{"user_id": 7, "stars": 5.0}])
    assert answer.to_dict()["above"] == [0.5]
    assert store.prove(name, [{"user_id": 7, "stars": 5.0}, {"user_id": 9, "stars": 1.0}]).ok
    other = tiffin.on_demand(name, **asked, sql={"above": "mean - stars"})
    failure(errors.ConflictError, lambda: store.register(other))
    assert store.register(other, replace=True).sql == {"above": "mean - stars"}
    wrong = tiffin.on_demand(f"{group}/wrong", **asked, sql={"above": "sum(mean)"})
    failure(errors.InvalidInputError, lambda: store.register(wrong))
    failure(errors.InvalidInputError, lambda: store.register("no features"))
    assert store.unregister(name) is None
    failure(errors.FeatureNotFound, lambda: store.unregister(name))
    failure(errors.FeatureNotFound, lambda: store.prove(name, [{"user_id": 7}]))


def test_a_function_is_not_sent(url, group):
    @tiffin.on_demand(f"{group}/f", inputs=["a/b:x"], outputs={"y": pl.Float64})
    def double(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(y=pl.col("x") * 2)

    with tiffin.connect(url) as client:
        failure(errors.InvalidInputError, lambda: client.register(double))
