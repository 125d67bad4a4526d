"""Two processes read online while a third saves, pushes, restores and fills anew: no answer is ever wrong."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import tiffin
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, notes
from tiffin.errors import TiffinError

START = datetime(2024, 1, 1, tzinfo=UTC)
KEYS = 200
FEATURES = ["g/events:token", "g/events:shown", "g/plain:key", "g/plain:save"]


def events(keys: list[int], token: int) -> pl.DataFrame:
    """Rows whose values name the entity and the save that they are of."""
    shown = [f"{key}:{token}" for key in keys]
    time_of = START + timedelta(seconds=token)
    return pl.DataFrame({"id": keys, "ts": [time_of] * len(keys), "token": token, "shown": shown})


def plain(token: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(KEYS), "save": token, "key": range(KEYS)})


def write(folder: Path, log: Path, stop: Path) -> None:
    """Change two tables in every way; the token of `events` only ever grows."""
    store, line = tiffin.FeatureStore(folder, keep_versions=5, checkpoint_every=7), Notes(log)
    token = 0
    while not stop.exists():
        token += 1
        keys = [(token * 7 + number) % KEYS for number in range(20)]
        store.push("g/events", events(keys, token))
        store.save("g/plain", plain(token), mode="upsert" if token % 3 else "overwrite")
        if token % 5 == 0:
            store.push("g/events", events(keys, token - 3))
        if token % 11 == 0:
            store.save("g/events", events(list(range(KEYS)), token), online=True)
        if token % 13 == 0:
            store.materialize("g/events", from_scratch=True)
        if token % 17 == 0:
            store.compact()
        line.write(event="wrote", token=token)


def read(folder: Path, log: Path, stop: Path, how: str) -> None:
    store, line = tiffin.FeatureStore(folder), Notes(log)
    plan = store.prepare(FEATURES)
    newest, reads, wrong = [0] * KEYS, 0, []
    while not stop.exists():
        keys = [reads % KEYS, *range(reads % 50, KEYS, 50)]
        entities = [{"id": key} for key in keys]
        try:
            answer = plan.read(entities) if how == "plan" else store.get_online_features(FEATURES, entities)
        except TiffinError as error:
            wrong.append(f"{type(error).__name__}: {error}")
            continue
        for key, row in zip(keys, answer.rows(), strict=True):
            if row["shown"] != f"{key}:{row['token']}" or row["key"] != key:
                wrong.append(f"values of several rows: {row}")
            if row["token"] < newest[key]:
                wrong.append(f"{row} after {newest[key]}")
            newest[key] = row["token"]
        reads += 1
        if reads == 1:
            line.write(event="reading")
    line.write(event="read", reads=reads, wrong=wrong[:10], newest=max(newest))


def run(folder: Path, seconds: float) -> None:
    store_folder, stop = folder / "store", folder / "stop"
    with tiffin.FeatureStore(store_folder) as store:
        store.save("g/events", events(list(range(KEYS)), 0), entity="id", timestamp="ts", online=True)
        store.save("g/plain", plain(0), entity="id", online=True)
    logs = {name: folder / name for name in ("writer", "plan", "plain")}
    workers = [PROCESSES.Process(daemon=True, target=write, args=(store_folder, logs["writer"], stop))]
    workers += [
        PROCESSES.Process(daemon=True, target=read, args=(store_folder, logs[how], stop, how))
        for how in ("plan", "plain")
    ]
    for worker in workers:
        worker.start()
    wait_for(lambda: all(notes(log) for log in logs.values()), "all to begin")
    end = time.monotonic() + seconds
    are_done = lambda: time.monotonic() > end or not all(worker.is_alive() for worker in workers)  # noqa: E731
    wait_for(are_done, "the time to pass", 2 * seconds)
    stop.touch()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    written = notes(logs["writer"])[-1]["token"]
    for how in ("plan", "plain"):
        (found,) = [line for line in notes(logs[how]) if line["event"] == "read"]
        assert found["wrong"] == []
        assert found["reads"] > 100 * seconds
        assert 1 <= found["newest"] <= written
    with tiffin.FeatureStore(store_folder) as store:
        assert store.verify().ok


def test_readers_see_no_wrong_answer_while_a_writer_writes(tmp_path: Path):
    run(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_readers_see_no_wrong_answer_for_a_minute(tmp_path: Path):
    run(tmp_path, 60)
