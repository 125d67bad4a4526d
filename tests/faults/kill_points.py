"""Steps that change a store, a file system on which the process dies at its n-th operation, and what must be there.

A store's *facts* are all that a user can see of it: the rows of every version, names, stages, online rows, services,
training sets, keys. What they must be after each step is written out here by hand.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

import tiffin
from faults.workload import Notes
from tiffin import reading
from tiffin.access import keys_of
from tiffin.files import LOCAL, LocalFiles
from tiffin.online.environment import NAME, NAME_BYTES

CHANGING = (
    "sync",
    "sync_folder",
    "rename",
    "link",
    "remove",
    "make_folder",
    "remove_folder",
    "touch",
    "extend",
    "lock",
)
"""Operations after which files, or who holds a lock, may be other than before; `create` besides."""

Facts = dict[tuple[Any, ...], Any]


class DyingFiles(LocalFiles):
    """Files of this machine; the process kills itself before the n-th operation that changes them.

    A new file counts twice: before there is anything of it, and when half of it is written.
    """

    dies_at = -1
    done = 0
    last_act: Callable[[], None] | None = None
    """What is done just before it dies."""

    def create(self, path: Path, content: Any, *, is_private: bool = False) -> None:
        tick()
        if DyingFiles.done == DyingFiles.dies_at:
            buffer = io.BytesIO()
            content(buffer) if callable(content) else buffer.write(content)
            super().create(path, buffer.getvalue()[: buffer.tell() // 2], is_private=is_private)
        tick()
        super().create(path, content, is_private=is_private)


def tick() -> None:
    if DyingFiles.done == DyingFiles.dies_at:
        if DyingFiles.last_act:
            DyingFiles.last_act()
        os.kill(os.getpid(), signal.SIGKILL)
    DyingFiles.done += 1


def _dying(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def dying(*args: Any, **options: Any) -> Any:
        tick()
        return operation(*args, **options)

    return dying


for name in CHANGING:
    setattr(DyingFiles, name, _dying(getattr(LocalFiles, name)))


class InPlaceFiles(DyingFiles):
    """The negative control: a file is written over in two halves instead of being given its name in one step."""

    def rename(self, source: Path, target: Path) -> None:
        if source.is_dir():
            super().rename(source, target)
            return
        _write_over(source, target)
        super().remove(source)

    def link(self, source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError
        _write_over(source, target)


def _write_over(source: Path, target: Path) -> None:
    data = source.read_bytes()
    target.write_bytes(data[: len(data) // 2])
    tick()
    target.write_bytes(data)


class Step(NamedTuple):
    """Something that is done to a prepared store, and the facts that may then be found."""

    act: Callable[[tiffin.FeatureStore], object]
    then: Callable[[Facts], list[Facts]]
    """From the facts before, those of each moment at which others may look; the last when all is done."""
    settings: Mapping[str, Any] = MappingProxyType({})


def do_and_die(folder: Path, log: Path, name: str, dies_at: int, files: type[DyingFiles] = DyingFiles) -> None:
    """Do a step, and note it; die at an operation, counted from 0 when the store is opened."""
    LOCAL.__class__ = files
    reading._WORTH_A_FILE_BYTES = 0
    DyingFiles.dies_at, DyingFiles.done = dies_at, 0
    step = STEPS[name]
    with opened(folder, **step.settings) as store:
        step.act(store)
    Notes(log).write(event="done", operations=DyingFiles.done)


def opened(folder: Path, **settings: Any) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(folder, **{"compact_files": 0, "memory_cache_bytes": 0, **settings})


def at(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour)


def rows(*pairs: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"id": pl.Int64, "x": pl.Int64}, orient="row")


def events(*triples: tuple[int, int, int]) -> pl.DataFrame:
    made = [(key, at(hour), x) for key, hour, x in triples]
    return pl.DataFrame(made, schema={"id": pl.Int64, "at": pl.Datetime("us"), "x": pl.Int64}, orient="row")


PLAIN, NAMED, ONLINE, OFFLINE, DERIVED = "g/plain", "g/named", "g/online", "g/offline", "g/derived"
"""The tables of the prepared store."""


def prepare(folder: Path) -> None:
    """Make the store that each step begins with."""
    with opened(folder) as store:
        store.save(PLAIN, rows((1, 10), (2, 20)), entity="id")
        store.save(PLAIN, rows((3, 30)), mode="append")
        store.save(PLAIN, rows((4, 40)), mode="append")
        store.save(NAMED, rows((1, 10)), entity="id")
        store.save(NAMED, rows((1, 11)))
        store.tag(NAMED, 0, "prod")
        store.stage(NAMED, rows((1, 12)), "try")
        store.save(ONLINE, events((1, 0, 10), (2, 0, 20)), entity="id", timestamp="at", online=True)
        store.save(OFFLINE, events((1, 0, 10), (2, 1, 20)), entity="id", timestamp="at")
        store.derive(
            DERIVED,
            {"source": OFFLINE, "entity": "id", "windows": ["all"], "aggregations": {"x": ["sum"]}, "expiry": False},
        )
        store.save(OFFLINE, events((1, 2, 5)), mode="append")
        store.create_service("old", [f"{PLAIN}:x"])
        keep_training_set(store, "old")
    keys_of(folder).create("app", ["read"])


def keep_training_set(store: tiffin.FeatureStore, name: str) -> None:
    store.save_training_set(name, store.get_historical_features(rows((1, 0)).select("id"), [f"{NAMED}@1:x"]))


def put_back(prepared: Path, store: Path) -> None:
    """Copy a prepared store, so that its online index takes the copy for its own place and not for a copy."""
    shutil.copytree(prepared, store)
    name = store / "online" / NAME
    name.write_bytes(name.read_bytes()[:NAME_BYTES] + str(name.parent.stat().st_ino).encode())


BEFORE: Facts = {
    ("rows", PLAIN, 0): [(1, 10), (2, 20)],
    ("rows", PLAIN, 1): [(1, 10), (2, 20), (3, 30)],
    ("rows", PLAIN, 2): [(1, 10), (2, 20), (3, 30), (4, 40)],
    ("columns", PLAIN): ["id", "x"],
    ("columns", NAMED): ["id", "x"],
    ("columns", ONLINE): ["id", "at", "x"],
    ("columns", OFFLINE): ["id", "at", "x"],
    ("columns", DERIVED): ["id", "at", "x_sum_all"],
    ("rows", NAMED, 0): [(1, 10)],
    ("rows", NAMED, 1): [(1, 11)],
    ("tag", NAMED, "prod"): 0,
    ("stage", NAMED, "try"): [(1, 12)],
    ("rows", ONLINE, 0): [(1, at(0), 10), (2, at(0), 20)],
    ("online", ONLINE): [10, 20],
    ("rows", OFFLINE, 0): [(1, at(0), 10), (2, at(1), 20)],
    ("rows", OFFLINE, 1): [(1, at(0), 10), (1, at(2), 5), (2, at(1), 20)],
    ("rows", DERIVED, 0): [(1, at(0), 10), (2, at(1), 20)],
    ("service", "old"): ("g/plain:x",),
    ("training", "old"): [(1, 11)],
    ("key", "app"): "valid",
}


def facts(folder: Path) -> Facts:
    """Look at all that there is, with a store that was not there before."""
    with opened(folder, disk_cache_bytes=0) as store:
        return dict(_facts(store))


def _facts(store: tiffin.FeatureStore) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for table in store.tables():
        name = table.table
        yield ("columns", name), [column.name for column in table.columns]
        for commit in store.history(name):
            yield ("rows", name, commit.version), sorted(store.read(name, version=commit.version).to_polars().rows())
        for tag in store.tags(name):
            yield ("tag", name, tag.name), tag.version
        for stage in store.stages(name):
            yield ("stage", name, stage.name), sorted(store.read(stage.reference).to_polars().rows())
        if table.online:
            answer = store.get_online_features([f"{name}:x"], [{"id": 1}, {"id": 2}])
            yield ("online", name), answer.to_dict()["x"]
    for service in store.services():
        yield ("service", service.name), service.features
    for kept in store.training_sets():
        yield ("training", kept.name), sorted(store.reproduce(kept.name).to_polars().rows())
    listed = keys_of(store.path).keys()
    for key in listed:
        yield ("key", key.name), "revoked" if key.revoked else "valid"


def gains(*more: Facts) -> Callable[[Facts], list[Facts]]:
    """One thing after the other is there; or takes the place of what was."""

    def states(before: Facts) -> list[Facts]:
        found = [before]
        for facts in more:
            found.append(found[-1] | facts)
        return found

    return states


def loses(*keys: tuple[Any, ...]) -> Callable[[Facts], list[Facts]]:
    """All of it goes at once."""
    return lambda before: [before, without(before, *keys)]


def without(facts: Facts, *keys: tuple[Any, ...]) -> Facts:
    return {key: value for key, value in facts.items() if key not in keys}


def ages(to: int, *more: Facts) -> Callable[[Facts], list[Facts]]:
    """After what is gained, the oldest versions of the plain table go, one by one."""

    def states(before: Facts) -> list[Facts]:
        gained = gains(*more)(before)
        return [*gained, *(without(gained[-1], *ROWS[:count]) for count in range(1, to + 1))]

    return states


def promoted(before: Facts) -> list[Facts]:
    published = before | {("rows", NAMED, 2): [(1, 12)]}
    return [before, published, without(published, ("stage", NAMED, "try"))]


ROWS = [("rows", PLAIN, version) for version in range(4)]
ALL = BEFORE[ROWS[2]]
STEPS = {
    "overwrite": Step(lambda store: store.save(PLAIN, rows((9, 90))), gains({ROWS[3]: [(9, 90)]})),
    "append": Step(lambda store: store.save(PLAIN, rows((9, 90)), mode="append"), gains({ROWS[3]: [*ALL, (9, 90)]})),
    "upsert": Step(
        lambda store: store.save(PLAIN, rows((1, 11), (9, 90)), mode="upsert"),
        gains({ROWS[3]: [(1, 11), *ALL[1:], (9, 90)]}),
    ),
    "first save": Step(
        lambda store: store.save("g/new", rows((9, 90))),
        gains({("rows", "g/new", 0): [(9, 90)], ("columns", "g/new"): ["id", "x"]}),
    ),
    "append, checkpoint, merge and vacuum": Step(
        lambda store: store.save(PLAIN, rows((9, 90)), mode="append"),
        ages(3, {ROWS[3]: [*ALL, (9, 90)]}, {("rows", PLAIN, 4): [*ALL, (9, 90)]}),
        {"checkpoint_every": 2, "compact_files": 4, "keep_versions": 2},
    ),
    "merge": Step(lambda store: store.compact(PLAIN), gains({ROWS[3]: ALL})),
    "vacuum": Step(lambda store: store.vacuum(PLAIN, keep_versions=1), ages(2)),
    "restore": Step(lambda store: store.restore(PLAIN, 0), gains({ROWS[3]: BEFORE[ROWS[0]]})),
    "rename a column": Step(
        lambda store: store.rename(PLAIN, "x", "y"), gains({ROWS[3]: ALL, ("columns", PLAIN): ["id", "y"]})
    ),
    "drop": Step(lambda store: store.drop(ONLINE), loses(("rows", ONLINE, 0), ("columns", ONLINE), ("online", ONLINE))),
    "tag": Step(lambda store: store.tag(NAMED, 1, "prod", move=True), gains({("tag", NAMED, "prod"): 1})),
    "untag": Step(lambda store: store.untag(NAMED, "prod"), loses(("tag", NAMED, "prod"))),
    "stage": Step(
        lambda store: store.stage(NAMED, rows((1, 13)), "next"), gains({("stage", NAMED, "next"): [(1, 13)]})
    ),
    "stage again": Step(
        lambda store: store.stage(NAMED, rows((1, 13)), "try", replace=True),
        gains({("stage", NAMED, "try"): [(1, 13)]}),
    ),
    "promote": Step(lambda store: store.promote(NAMED, "try"), promoted),
    "discard": Step(lambda store: store.discard(NAMED, "try"), loses(("stage", NAMED, "try"))),
    "fill the online index": Step(
        lambda store: store.materialize(OFFLINE),
        gains(
            {("rows", OFFLINE, 2): BEFORE["rows", OFFLINE, 1], ("online", OFFLINE): [None, None]},
            {("online", OFFLINE): [5, 20]},
        ),
    ),
    "push": Step(
        lambda store: store.push(ONLINE, events((1, 3, 11))),
        gains({("rows", ONLINE, 1): [(1, at(0), 10), (1, at(3), 11), (2, at(0), 20)]}, {("online", ONLINE): [11, 20]}),
    ),
    "refresh a derived table": Step(
        lambda store: store.refresh(DERIVED),
        gains({("rows", DERIVED, 1): [(1, at(0), 10), (1, at(2), 15), (2, at(1), 20)]}),
    ),
    "write into the cache": Step(lambda store: store.read(PLAIN), gains()),
    "profile": Step(lambda store: store.profile(PLAIN), gains()),
    "make a key": Step(lambda store: keys_of(store.path).create("web", ["write"]), gains({("key", "web"): "valid"})),
    "revoke a key": Step(lambda store: keys_of(store.path).revoke("app"), gains({("key", "app"): "revoked"})),
    "make a service": Step(
        lambda store: store.create_service("new", [f"{NAMED}@prod:x"]),
        gains({("service", "new"): ("g/named@prod:x",)}),
    ),
    "replace a service": Step(
        lambda store: store.create_service("old", [f"{NAMED}:x"], replace=True),
        gains({("service", "old"): ("g/named:x",)}),
    ),
    "drop a service": Step(lambda store: store.drop_service("old"), loses(("service", "old"))),
    "keep a training set": Step(lambda store: keep_training_set(store, "new"), gains({("training", "new"): [(1, 11)]})),
    "drop a training set": Step(lambda store: store.drop_training_set("old"), loses(("training", "old"))),
}
