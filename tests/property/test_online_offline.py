"""The online answer against plain Python: whatever is done to a table, and whenever, the newest true row answers."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import tiffin
from tiffin.agreement import verify
from tiffin.errors import NotOnline, OnlineUnavailable
from tiffin.materialize import Materializer
from tiffin.materialize.filling import Filling

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = [date(1969, 12, 31), date(2020, 1, 1)]
LONG = "x" * 500
ENTITIES: list[dict[str, tuple[pl.DataType, list[Any]]]] = [
    {"id": (pl.Int64(), [-1, 0, 2**40])},
    {"name": (pl.String(), ["", "ä", "b\0", LONG, LONG + "y"])},
    {"kind": (pl.Categorical(), ["a", "a\0", "b"]), "day": (pl.Date(), DAYS)},
    {"flag": (pl.Boolean(), [False, True]), "id": (pl.UInt64(), [0, 2**64 - 1])},
    {},
]
FEATURES: dict[str, tuple[pl.DataType, st.SearchStrategy]] = {
    "x": (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "f": (pl.Float64(), st.floats()),
    "s": (pl.String(), st.text("ab\0é", max_size=3)),
    "b": (pl.Boolean(), st.booleans()),
    "t": (
        pl.Datetime("ms", "Asia/Seoul"),
        st.integers(-(10**13), 10**13).map(lambda ms: EPOCH + timedelta(milliseconds=ms)),
    ),
    "e": (pl.List(pl.Float32()), st.lists(st.floats(width=32), max_size=2)),
}
DEFAULTS = {"x": 7, "f": 0.5, "s": "none", "b": True}
TIMES = [START + offset for offset in (-3 * HOUR, -HOUR - TICK, -HOUR, -HOUR + TICK, HOUR, 2 * HOUR)]
WHEN = st.none() | st.sampled_from(TIMES)


@dataclass(frozen=True)
class Version:
    """What the model knows of a version of the table."""

    rows: tuple[dict[str, Any], ...] = ()
    features: tuple[str, ...] = ()
    ttl: timedelta | None = None
    defaults: dict[str, Any] = field(default_factory=dict)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


class OnlineModel(RuleBasedStateMachine):
    """The rows of each version are kept in a list; the oracle looks through all of them."""

    @initialize(
        entity=st.sampled_from(ENTITIES),
        is_timed=st.booleans(),
        has_created=st.booleans(),
        chunk_bytes=st.sampled_from([1, 1 << 20]),
        fan_in=st.sampled_from([0, 3]),
        always_follows=st.booleans(),
    )
    def begin(self, entity, is_timed, has_created, chunk_bytes, fan_in, always_follows):
        self.folder = tempfile.TemporaryDirectory()
        self.options = {"compact_files": fan_in, "memory_cache_bytes": 0, "disk_cache_bytes": 0, "checkpoint_every": 5}
        self.chunk_bytes = chunk_bytes
        # Tables as small as these would hardly ever be followed file by file.
        self.patch = pytest.MonkeyPatch()
        if always_follows:
            self.patch.setattr(Filling, "_is_worth_following", lambda filling, _: bool(filling.state.spec.entity))
        self.now = START
        self.entity = entity
        self.timestamp = "ts" if is_timed or not entity else None
        self.created = "made" if has_created else None
        self.versions: dict[int, Version] = {}
        self.online = self.lags = False
        self.plan = None
        self.open()

    def open(self):
        self.store = tiffin.FeatureStore(Path(self.folder.name) / "store", **self.options)
        made = self.store._materializer
        clock = lambda: (self.now - EPOCH) // TICK * 1000  # noqa: E731
        self.store._materializer = Materializer(made._open_index, made._fs, made._folder, clock, self.chunk_bytes)
        self.store._plans.materializer = self.store._materializer

    @property
    def newest(self) -> Version:
        return self.versions[max(self.versions)]

    def draw_rows(self, data, features, *, unique=False):
        parts = {
            name: (st.sampled_from(values) if unique else st.none() | st.sampled_from(values))
            for name, (_, values) in self.entity.items()
        }
        if self.timestamp:
            parts["ts"] = st.sampled_from(TIMES) if unique else WHEN
        if self.created:
            parts["made"] = st.none() | st.sampled_from(TIMES[:2])
        parts |= {name: st.none() | FEATURES[name][1] for name in features}
        key = self.key if unique else None
        return data.draw(st.lists(st.fixed_dictionaries(parts), max_size=6, unique_by=key))

    def key(self, row):
        return (*(row[name] for name in self.entity), row["ts"] if self.timestamp else None)

    def frame(self, rows, features):
        schema = {name: dtype for name, (dtype, _) in self.entity.items()}
        schema |= {"ts": pl.Datetime("us", "UTC")} if self.timestamp else {}
        schema |= {"made": pl.Datetime("us", "UTC")} if self.created else {}
        schema |= {name: FEATURES[name][0] for name in features}
        return pl.DataFrame(rows, schema=schema)

    def save(self, mode, version, features, fresh, **declared):
        commit = self.store.save(
            "g/t",
            self.frame(fresh, features),
            entity=[*self.entity],
            timestamp=self.timestamp,
            created=self.created,
            mode=mode,
            **declared,
        )
        if declared.get("online") is not None:
            self.online = declared["online"]
        self.committed(commit, version)

    def committed(self, commit, version):
        assert commit.warnings == ()
        assert commit.online_version == (self.store.describe("g/t").version if self.online else None)
        self.lags = False
        self.versions[commit.version] = version
        for merged in range(commit.version + 1, self.store.describe("g/t").version + 1):
            self.versions[merged] = version

    @rule(data=st.data(), online=st.sampled_from([True, True, None, False]))
    def overwrite(self, data, online):
        features = ["x", *data.draw(st.lists(st.sampled_from([*FEATURES][1:]), unique=True, max_size=2))]
        rows = self.draw_rows(data, features)
        ttl = data.draw(st.sampled_from([None, HOUR, 2 * HOUR])) if self.timestamp else None
        old = self.newest if self.versions else Version()
        names = data.draw(st.sets(st.sampled_from([*DEFAULTS]))).intersection(features)
        defaults = {name: DEFAULTS[name] for name in names}
        kept = {name: value for name, value in old.defaults.items() if name in features}
        version = Version(tuple(rows), tuple(features), ttl or old.ttl, kept | defaults)
        self.save("overwrite", version, features, rows, ttl=ttl, defaults=defaults, evolve=True, online=online)

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), online=st.sampled_from([True, None, None]))
    def append(self, data, online):
        features, rows = self.widened(data)
        self.save(
            "append",
            replace(self.newest, rows=(*self.newest.rows, *rows), features=features),
            features,
            rows,
            online=online,
        )

    @precondition(lambda self: self.versions and self.entity)
    @rule(data=st.data())
    def upsert(self, data):
        features, rows = self.widened(data, unique=True)
        keys = {self.key(row) for row in rows}
        kept = [row for row in self.newest.rows if self.key(row) not in keys]
        self.save("upsert", replace(self.newest, rows=(*kept, *rows), features=features), features, rows)

    def widened(self, data, *, unique=False):
        """Draw rows that may have a feature more than the table."""
        features = self.newest.features
        more = [name for name in FEATURES if name not in features]
        features += tuple(data.draw(st.lists(st.sampled_from(more), max_size=1))) if more else ()
        return features, self.draw_rows(data, features, unique=unique)

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def restore(self, data):
        version = data.draw(st.sampled_from(sorted(self.versions)))
        self.committed(self.store.restore("g/t", version), self.versions[version])

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def append_while_the_index_is_out_of_reach(self, data):
        features, rows = self.widened(data)
        reached = self.store._materializer
        self.store._materializer = Materializer(unreachable, reached._fs, reached._folder)
        commit = self.store.save("g/t", self.frame(rows, features), mode="append")
        self.store._materializer = reached
        assert commit.online_version == (-1 if self.online else None)
        assert len(commit.warnings) == self.online
        self.versions[commit.version] = replace(self.newest, rows=(*self.newest.rows, *rows), features=features)
        for merged in range(commit.version + 1, self.store.describe("g/t").version + 1):
            self.versions[merged] = self.versions[commit.version]
        self.lags = self.online

    @precondition(lambda self: self.versions)
    @rule(keep=st.integers(1, 3))
    def vacuum(self, keep):
        self.store.vacuum("g/t", keep_versions=keep)
        self.versions = {
            version: known for version, known in self.versions.items() if version > max(self.versions) - keep
        }

    @precondition(lambda self: self.versions)
    @rule()
    def compact(self):
        for commit in self.store.compact("g/t"):
            self.versions[commit.version] = self.newest
            self.lags = self.online

    @precondition(lambda self: self.versions)
    @rule(from_scratch=st.booleans())
    def materialize(self, from_scratch):
        was_online, newest = self.online, self.newest
        (done,) = self.store.materialize("g/t", from_scratch=from_scratch)
        self.online, self.lags = True, False
        if not was_online:
            self.versions[done.version] = newest
        assert done.version == max(self.versions) == self.store.describe("g/t").version

    @precondition(lambda self: self.versions)
    @rule()
    def drop(self):
        self.store.drop("g/t")
        self.versions, self.online, self.lags = {}, False, False
        assert self.store._materializer.index.tables() == []

    @rule(how=st.sampled_from(["close", "reset", "remove"]))
    def lose(self, how):
        self.store.close()
        if how == "reset":
            self.store._materializer.index.reset()
        if how == "remove":
            shutil.rmtree(self.store.path / "online", ignore_errors=True)
        self.open()
        self.plan = None

    @rule(hours=st.integers(1, 2))
    def time_passes(self, hours):
        self.now += hours * HOUR

    @precondition(lambda self: self.versions)
    @rule(
        later=st.sampled_from([0 * HOUR, TICK, HOUR, 2 * HOUR, 6 * HOUR]), how=st.sampled_from(["plan", "new", "plain"])
    )
    def read(self, later, how):
        if not self.online:
            with pytest.raises(NotOnline):
                self.store.prepare("g/t")
            return
        if self.plan is None or self.lags or how == "new":
            self.plan, self.lags = self.store.prepare("g/t"), False
        plan = (
            self.store._plans.recall([f"g/t:{name}" for name in self.newest.features]) if how == "plain" else self.plan
        )
        at = self.now + later
        entities = [
            dict(zip(self.entity, values, strict=True))
            for values in itertools.product(*(values for _, values in self.entity.values()))
        ]
        answer = plan.read(entities, at=at)
        values, statuses, times = answer.to_dict(), answer.statuses, answer.timestamps
        assert [*values] == [*self.entity, *self.newest.features]
        for number, entity in enumerate(entities):
            expected = self.expected(entity, at)
            for name, (value, status, time) in expected.items():
                assert same(values[name][number], value), (entity, name, values[name][number], value)
                assert (statuses[name][number], times[name][number]) == (status, time), (entity, name)
        found = verify(self.store._plans, "g/t", sample=100, seed=0, clock=lambda: (at - EPOCH) // TICK * 1000)
        assert found.ok, str(found)

    def expected(self, entity, at):
        version = self.newest
        order = lambda row: (row.get("ts") or EPOCH, row.get("made") is not None, row.get("made") or EPOCH)  # noqa: E731
        best = None
        for row in version.rows:
            if any(row[name] is None or row[name] != value for name, value in entity.items()):
                continue
            if self.timestamp and (row["ts"] is None or row["ts"] > at):
                continue
            if best is None or order(row) >= order(best):
                best = row
        expired = best is not None and version.ttl is not None and best["ts"] < at - version.ttl
        answer = {}
        for name in version.features:
            value = None if best is None or expired else best.get(name)
            status = (
                "NOT_FOUND"
                if best is None
                else "OUTSIDE_MAX_AGE"
                if expired
                else "NULL_VALUE"
                if value is None
                else "PRESENT"
            )
            answer[name] = (
                version.defaults.get(name) if value is None else value,
                status,
                best["ts"] if best and self.timestamp else None,
            )
        return answer

    def teardown(self):
        if hasattr(self, "folder"):
            self.patch.undo()
            self.store.close()
            self.folder.cleanup()


def unreachable():
    raise OnlineUnavailable("the index is out of reach")


TestOnlineModel = OnlineModel.TestCase
TestOnlineModel.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_online_answer_in_many_more_cases():
    many = settings(max_examples=2_000, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(OnlineModel, settings=many)
