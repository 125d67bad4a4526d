"""Processes that do to a store all that can be in the way of copying it, and what a copy is compared with.

What was saved is known from the writers' notes alone. A table that is dropped and made anew says in its rows in which
of its lives they were saved, and as which version.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

import tiffin
from faults.workload import PROCESSES, SLOTS, Groups, Notes, frame_of, groups_of, notes, replayed, save_one
from tiffin.errors import ConflictError, NotFoundError, StorageError, TiffinError

TABLES = ["group/one", "other/two"]
KEPT, DROPPED = "group/kept", "group/dropped"
"""One that training sets and services use, one that is dropped all the time."""
SETTINGS = {"disk_cache_bytes": 0, "checkpoint_every": 3, "compact_files": 4}
KEEP = 5
"""Versions that vacuums leave."""
LIFE = 4
"""As many rounds lie between two drops."""


def write_until(folder: Path, log_path: Path, seed: int, stop: Path) -> None:
    """Save to the tables in all ways until a file appears."""
    chance, log = random.Random(seed), Notes(log_path)
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        for number in itertools.count():
            mode, token = chance.choice(["overwrite", "append", "append", "upsert"]), seed * 1_000_000 + number
            slot = token + SLOTS if mode == "append" else chance.randrange(SLOTS)
            save_one(store, log, chance.choice(TABLES), mode, slot, token)
            if stop.exists():
                return


def churn_until(folder: Path, log_path: Path, seed: int, stop: Path) -> None:
    """Merge, vacuum, tag, stage, keep training sets, replace services, drop and make anew, until a file appears."""
    chance, log, store = random.Random(seed), Notes(log_path), tiffin.FeatureStore(folder, **SETTINGS)
    spine = pl.DataFrame({"id": [0, 1], "event_timestamp": [datetime(2100, 1, 1, tzinfo=UTC)] * 2})
    for number in itertools.count():
        table = TABLES[number % 2]
        with contextlib.suppress(ConflictError, NotFoundError):
            store.tag(table, store.describe(table).version, "tag", move=True)
            store.stage(table, frame_of(0, number), entity="id", name="stage", replace=True)
            if chance.random() < 0.3:
                store.discard(table, "stage")
                store.untag(table, "tag")
        store.compact(table)
        store.vacuum(table, keep_versions=KEEP)
        _use(store, spine, number)
        if number % LIFE == 0 and number:
            store.drop(DROPPED)
        store.save(DROPPED, frame_of(0, number // LIFE * 1000 + number % LIFE), entity="id")
        log.write(event="round", number=number)
        if stop.exists():
            store.close()
            return


def _use(store: tiffin.FeatureStore, spine: pl.DataFrame, number: int) -> None:
    """Keep a training set and a service of a table, and vacuum away what no longer is needed."""
    rows = frame_of(0, number).with_columns(pl.lit(datetime(2024, 1, 1, tzinfo=UTC)).alias("at"))
    version = store.save(KEPT, rows, entity="id", timestamp="at").version
    name = f"set{number % 5}"
    store.save_training_set(name, store.get_historical_features(spine, [f"{KEPT}:token"]), replace=True)
    if number % 3 == 2:
        store.drop_training_set(name)
    store.create_service(f"service{number % 4}", [f"{KEPT}@{version}:token"], replace=True)
    if number % 4 == 3:
        store.drop_service(f"service{number % 4}")
    store.vacuum(KEPT, keep_versions=1)


@dataclass
class Busy:
    """A store that others use."""

    folder: Path
    processes: list[Any] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def churned(self) -> Path:
        return self.folder / "churned"

    def lines(self) -> list[dict[str, Any]]:
        return [line for path in sorted(self.folder.glob("saved-*")) for line in notes(path)]

    def end(self) -> None:
        (self.folder / "stop").touch()
        for process in self.processes:
            process.join(60)

    def expected(self) -> dict[str, dict[int, Groups]]:
        """Tell what each version of each table holds; all writers have come to their end."""
        store = tiffin.FeatureStore(self.store, disk_cache_bytes=0)
        return {table: replayed(store, table, self.lines()) for table in TABLES}


@contextlib.contextmanager
def busy(folder: Path, writers: int = 2) -> Iterator[Busy]:
    """Let others use a store for as long as the body takes."""
    made = Busy(folder)
    store = tiffin.FeatureStore(made.store, **SETTINGS)
    # The first version is there, and noted, before anybody looks.
    log = Notes(folder / "saved-0")
    for table in TABLES:
        save_one(store, log, table, "overwrite", 0, 0)
    _use(store, pl.DataFrame({"id": [0], "event_timestamp": [datetime(2100, 1, 1, tzinfo=UTC)]}), 0)
    store.close()
    for seed in range(1, writers + 1):
        given = (made.store, folder / f"saved-{seed}", seed, folder / "stop")
        made.processes.append(PROCESSES.Process(daemon=True, target=write_until, args=given))
    given = (made.store, made.churned, 99, folder / "stop")
    made.processes.append(PROCESSES.Process(daemon=True, target=churn_until, args=given))
    for process in made.processes:
        process.start()
    try:
        yield made
        made.end()
        assert [process.exitcode for process in made.processes] == [0] * len(made.processes)
    finally:
        for process in made.processes:
            process.kill()
            process.join()


@dataclass
class Seen:
    """What a copy was seen to hold."""

    versions: dict[str, dict[int, Groups]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """What could not be read, and why."""
    findings: list[str] = field(default_factory=list)
    """What `examine` said."""
    sets: int = 0
    """Training sets that were made again."""
    unmade: list[str] = field(default_factory=list)
    """Those that could not be."""

    @property
    def is_whole(self) -> bool:
        return not self.failed and not self.findings and not self.unmade

    def wrong(self, expected: dict[str, dict[int, Groups]]) -> list[str]:
        """List the versions that hold what nobody saved."""
        found = []
        for table, versions in self.versions.items():
            for version, groups in versions.items():
                if table == DROPPED:
                    lives = {token // 1000 for other in versions.values() for token in other.values()}
                    is_right = len(lives) == 1 and {token % 1000 for token in groups.values()} == {version}
                else:
                    known = expected[table]
                    is_right = groups == known[min(version, max(known))]
                if not is_right:
                    found.append(f"{table}@{version}: {groups}")
        return found


def look_at(folder: Path) -> Seen:
    """Read all that is in a copy: every version, tag, stage and training set."""
    seen = Seen()
    with tiffin.FeatureStore(folder, disk_cache_bytes=0) as copy:
        seen.findings = [f"{one.table} {one.service}: {one.what}" for one in copy.examine()]
        for info in copy.tables():
            table = info.table
            try:
                versions = [commit.version for commit in copy.history(table)]
                names = [*(tag.name for tag in copy.tags(table)), *(stage.name for stage in copy.stages(table))]
            except (StorageError, NotFoundError) as error:
                seen.failed.append(f"{table}: {error.message}")
                continue
            for version in [*versions, *names]:
                try:
                    frame = copy.read(table, version=version, use_cache=False).to_polars()
                    if table in (*TABLES, DROPPED) and isinstance(version, int):
                        seen.versions.setdefault(table, {})[version] = groups_of(frame)
                except (StorageError, NotFoundError) as error:
                    seen.failed.append(f"{table}@{version}: {error.message}")
        for kept in copy.training_sets():
            try:
                # Raises unless it comes out bit for bit.
                copy.reproduce(kept.name)
                seen.sets += 1
            except TiffinError as error:
                seen.unmade.append(f"{kept.name}: {error.message}")
    return seen
