"""The programs beside the server, on the same folder: one that writes, and one that uses the guides' classes."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import pandas as pd

import tiffin
from benchmarks.soak import rows
from benchmarks.soak.shared import Recorder, Shared, later, schedule
from tiffin.simple import FeatureStoreConfig, SimpleFeatureStore

BULK_ROWS, BESIDE_ROWS, SPINE_ROWS = 20_000, 500, 1_000
OWN_TABLES, OWN_SHAPE = 6, (10_000, 40)
"""Of the guides' classes: 19 MB in all, more than their disk cache may hold."""
OWN_DISK_CACHE_MB = 8
KEPT = 5
"""Versions of each table, so that disk use levels off soon."""
_PAUSE_S = 0.05


class Job(NamedTuple):
    """A call that is made at a steady pace, whether or not the one before has ended in time."""

    kind: str
    per_s: float
    do: Callable[[], None]


def paced(shared: Shared, name: str, jobs: Sequence[Job], recorder: Recorder) -> None:
    """Make calls one after another, each kind at its pace, until all is to stop."""
    shared.barrier.wait(180)
    due = schedule([job.per_s * shared.pace for job in jobs])
    while not shared.stop.is_set():
        recorder.tick()
        if shared.quiet.is_set():
            start = time.monotonic()
            shared.rest()
            due = later(due, time.monotonic() - start)
        at, number = due[0]
        wait = at - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, _PAUSE_S))
            continue
        job = jobs[number]
        heapq.heapreplace(due, (at + 1 / (job.per_s * shared.pace), number))
        with recorder.timed(f"{name}: {job.kind}", own_processor=True):
            job.do()
    recorder.tick(is_last=True)


def spine() -> pd.DataFrame:
    """Give the rows of a training frame: each entity once, after the times of all rows."""
    step = BULK_ROWS // SPINE_ROWS
    return pd.DataFrame(
        {"id": range(0, BULK_ROWS, step), "event_timestamp": pd.Timestamp(rows.START + timedelta(days=1))}
    )


def write(shared: Shared) -> None:
    """Save tables that the server serves, and read what the server has saved, through the Python API."""
    recorder, board = Recorder(shared, "writer"), shared.board
    numbers = {table: itertools.count(2) for table in ("bulk/frame", "beside/table")}

    def save(table: str, count: int) -> None:
        number = next(numbers[table])
        at = rows.START if table == "bulk/frame" else None
        store.save(table, rows.frame(range(count), number, at=at))
        board.acknowledge(table, number)

    def read() -> None:
        least = board.least("live/whole")
        found = store.read("live/whole", columns=["id", *rows.MARKS]).to_polars().to_dict(as_series=False)
        board.see("live/whole", rows.check(recorder, found, 1_000, least))

    def ask() -> None:
        least = board.least("live/whole", online=True)
        answer = store.get_online_features(["live/whole:save", "live/whole:again"], {"id": [*range(100)]})
        board.see("live/whole", rows.check(recorder, answer.to_dict(), 100, least), online=True)

    def join() -> None:
        least = board.least("bulk/frame")
        answer = store.get_historical_features(training, ["bulk/frame"])
        found = answer.to_polars().select("id", *rows.MARKS).to_dict(as_series=False)
        board.see("bulk/frame", rows.check(recorder, found, SPINE_ROWS, least))

    with tiffin.FeatureStore(shared.store) as store:
        training = spine()
        jobs = [
            Job("save of 500 rows, online", 2, lambda: save("beside/table", BESIDE_ROWS)),
            Job("save of 20,000 rows", 0.4, lambda: save("bulk/frame", BULK_ROWS)),
            Job("read of 1,000 rows", 5, read),
            Job("online, 100", 20, ask),
            Job("training frame of 1,000", 1, join),
        ]
        paced(shared, "Python", jobs, recorder)


def use(shared: Shared) -> None:
    """Save and load pandas frames with the guides' classes, both caches on."""
    recorder = Recorder(shared, "guides' classes")
    count, columns = OWN_SHAPE
    base = pd.DataFrame({f"feature_{number}": range(count) for number in range(columns)}, dtype="float64")
    kept: dict[str, float] = {}
    turn = itertools.count()

    def made(mark: float) -> pd.DataFrame:
        return base + mark / 1024

    def save() -> None:
        number = next(turn)
        name = f"t{number % OWN_TABLES}"
        store.save_features("own", {name: made(number)})
        kept[name] = number

    loads = itertools.count()

    def load() -> None:
        name = f"t{next(loads) % OWN_TABLES}"
        loaded = store.get_features([name], "own")[name]
        same = loaded.equals(made(kept[name]))
        recorder.check(is_right=same, kind="stale", said=f"{name} is not what was saved last")

    config = FeatureStoreConfig(
        shared.store, cache_max_size=3, disk_cache_size_mb=OWN_DISK_CACHE_MB, keep_versions=KEPT
    )
    with SimpleFeatureStore(config) as store:
        for _ in range(OWN_TABLES):
            save()
        paced(shared, "guides", [Job("save 10,000 × 40", 1, save), Job("load 10,000 × 40", 5, load)], recorder)
