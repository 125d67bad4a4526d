"""Tags and stages against a plain model: whatever is done in whatever order, a name means what the model says."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import tiffin
from tiffin.errors import CommitConflict, ConflictError, VersionNotFound

KEYS = st.integers(0, 4)
VALUES = st.integers(0, 99)
ROWS = st.lists(st.tuples(KEYS, VALUES), max_size=3, unique_by=lambda row: row[0])
MODES = st.sampled_from(["overwrite", "append", "upsert"])
NAMES = st.sampled_from(["prod", "try", "x-1"])
SCHEMA = {"id": pl.Int64, "x": pl.Int64}


def applied(mode, before, rows):
    if mode == "overwrite":
        return list(rows)
    keys = {key for key, _ in rows} if mode == "upsert" else set()
    return [row for row in before if row[0] not in keys] + list(rows)


class NamesModel(RuleBasedStateMachine):
    """Versions, tags and stages are kept in dicts; two stores on one folder, used by turns, must agree all the time."""

    @initialize(every=st.integers(1, 3), rows=ROWS)
    def begin(self, every, rows):
        self.folder = tempfile.TemporaryDirectory()
        self.options = {"checkpoint_every": every, "compact_files": 0, "disk_cache_bytes": "1MB"}
        self.stores = [tiffin.FeatureStore(Path(self.folder.name) / "store", **self.options) for _ in range(2)]
        self.forget()
        self.save("overwrite", rows)

    def forget(self):
        self.versions: dict[int, list] = {}
        self.files: dict[int, object] = {}
        """Versions that hold the same files have the same of these."""
        self.tags: dict[str, int] = {}
        self.stages: dict[str, tuple] = {}

    @property
    def store(self):
        self.stores.reverse()
        return self.stores[0]

    @property
    def newest(self):
        return max(self.versions)

    def committed(self, commit, rows, *, files=None):
        assert commit.warnings == ()
        assert commit.version == (self.newest + 1 if self.versions else 0)
        self.versions[commit.version] = rows
        self.files[commit.version] = files or object()

    @rule(mode=MODES, rows=ROWS)
    def save(self, mode, rows):
        before = self.versions[self.newest] if self.versions else []
        commit = self.store.save("g/t", pl.DataFrame(rows, SCHEMA, orient="row"), entity="id", mode=mode)
        self.committed(commit, applied(mode, before, rows), files=self.untouched(mode, rows))

    def untouched(self, mode, rows):
        """Return the files of the newest version before, if a save of these rows leaves them all."""
        return None if mode == "overwrite" or rows else self.files.get(max(self.versions, default=-1))

    @precondition(lambda self: self.versions)
    @rule(name=NAMES, move=st.booleans(), data=st.data())
    def tag(self, name, move, data):
        version = data.draw(st.sampled_from([*self.versions, *self.tags]))
        number = self.tags.get(version, version)
        if name in self.stages or (self.tags.get(name, number) != number and not move):
            with pytest.raises(ConflictError):
                self.store.tag("g/t", version, name, move=move)
            return
        assert self.store.tag("g/t", version, name, move=move).version == number
        self.tags[name] = number

    @precondition(lambda self: self.versions)
    @rule(name=NAMES)
    def untag(self, name):
        if self.tags.pop(name, None) is None:
            with pytest.raises(VersionNotFound):
                self.store.untag("g/t", name)
        else:
            self.store.untag("g/t", name)

    @precondition(lambda self: self.versions)
    @rule(name=NAMES, mode=MODES, rows=ROWS, replace=st.booleans())
    def stage(self, name, mode, rows, replace):
        frame = pl.DataFrame(rows, SCHEMA, orient="row")
        if name in self.tags or (name in self.stages and not replace):
            with pytest.raises(ConflictError):
                self.store.stage("g/t", frame, name, mode=mode, replace=replace)
            return
        stage = self.store.stage("g/t", frame, name, mode=mode, replace=replace)
        assert stage.base == self.newest
        self.stages[name] = self.newest, mode, rows, applied(mode, self.versions[self.newest], rows)

    @precondition(lambda self: self.stages)
    @rule(force=st.booleans(), data=st.data())
    def promote(self, force, data):
        name = data.draw(st.sampled_from(sorted(self.stages)))
        base, mode, rows, becomes = self.stages[name]
        since = range(base, self.newest + 1)
        is_moved = len({self.files[version] for version in since}) > 1
        if is_moved and not (mode == "append" or (mode == "overwrite" and force)):
            with pytest.raises(CommitConflict):
                self.store.promote("g/t", name, force=force)
            return
        before = self.versions[self.newest]
        commit = self.store.promote("g/t", name, force=force)
        del self.stages[name]
        rows_now = applied(mode, before, rows) if is_moved else becomes
        self.committed(commit, rows_now, files=self.untouched(mode, rows))

    @precondition(lambda self: self.stages)
    @rule(data=st.data())
    def discard(self, data):
        name = data.draw(st.sampled_from(sorted(self.stages)))
        self.store.discard("g/t", name)
        del self.stages[name]

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def restore(self, data):
        version = data.draw(st.sampled_from([*self.versions, *self.tags]))
        number = self.tags.get(version, version)
        self.committed(self.store.restore("g/t", version), self.versions[number], files=self.files[number])

    @precondition(lambda self: self.versions)
    @rule()
    def describe(self):
        """Say something else of the table: a version with the same files, which keeps no stage back."""
        commit = self.store.declare("g/t", description=f"after {self.newest}")
        self.committed(commit, self.versions[self.newest], files=self.files[self.newest])

    @precondition(lambda self: self.versions)
    @rule(keep=st.integers(1, 3))
    def vacuum(self, keep):
        (report,) = self.store.vacuum("g/t", keep_versions=keep)
        needed = [self.newest - keep + 1, *self.tags.values(), *(base for base, *_ in self.stages.values())]
        oldest = max(min(needed), min(self.versions))
        assert report.oldest_version == oldest
        self.versions = {version: rows for version, rows in self.versions.items() if version >= oldest}
        folder = self.stores[0].path / "features" / "g" / "t"
        pins = [*self.versions, *self.stages]
        needed = {path for pin in pins for path in self.stores[0].files(f"g/t@{pin}")}
        assert {str(path) for path in folder.glob("*.parquet")} == needed

    @rule()
    def drop_and_begin_anew(self):
        if self.versions:
            self.store.drop("g/t")
        self.forget()
        self.save("overwrite", [(1, 1)])

    @invariant()
    def every_name_means_what_it_should(self):
        if not getattr(self, "versions", None):
            return
        store = self.store
        assert {tag.name: tag.version for tag in store.tags("g/t")} == self.tags
        assert {stage.name: (stage.base, stage.operation) for stage in store.stages("g/t")} == {
            name: (base, mode) for name, (base, mode, *_) in self.stages.items()
        }
        expected = {name: self.versions[version] for name, version in self.tags.items()}
        expected |= {name: becomes for name, (*_, becomes) in self.stages.items()}
        expected |= {str(self.newest): self.versions[self.newest]}
        for pin, rows in expected.items():
            assert sorted(store.read(f"g/t@{pin}").to_polars().rows()) == sorted(rows), pin

    def teardown(self):
        if hasattr(self, "folder"):
            for store in self.stores:
                store.close()
            self.folder.cleanup()


TestNamesModel = NamesModel.TestCase
TestNamesModel.settings = settings(max_examples=6, stateful_step_count=12, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_names_mean_what_they_should_for_long():
    run_state_machine_as_test(NamesModel, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))
