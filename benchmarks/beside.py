"""Beside what a user would take instead: the same data and questions, in turns, each tool in its own environment.

Feast is measured if TIFFIN_FEAST_PYTHON names a Python that has `feast[duckdb,redis]`; it runs as a process of its own
and times itself. Polars, DuckDB and pandas are written by hand, on the files that the store wrote.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import duckdb
import pandas as pd
import polars as pl

import tiffin
from benchmarks import joining
from benchmarks.measure import SLOWER, Result, shown
from benchmarks.redis_server import redis

FLOATS = [f"feature_{number}" for number in range(10)]
FEATURES = [f"g/m:{name}" for name in FLOATS]
TABLE = "g/m"
LAST = joining.START + timedelta(days=100)
ENGINES = {"dask": "default engine", "duckdb": "DuckDB engine"}
INDEXES = {"sqlite": "SQLite", "redis": "Redis"}
Taken = dict[str, list[float]]
"""By tool what each round took, seconds."""


class Refused(Exception):
    """A tool could not do what it was asked."""


class Feast:
    """Feast, in a process of its own, with one configuration."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.joins = self.serves = "Feast"
        """What it is called, by what it joins with and what it serves from."""
        self.rows, self.total = 0, 0.0
        """Of the last training frame: how many, and the sum of its first feature."""

    def make(self, folder: Path, file: str, engine: str, online: Mapping[str, str]) -> None:
        """Make its repository over a file."""
        folder.mkdir()
        asked = {"folder": str(folder), "file": file, "floats": FLOATS, "text": "segment"}
        name = f"Feast {self.ask('make', **asked, engine=engine, online=online)['version']}"
        self.joins = f"{name}, {ENGINES[engine]}"
        self.serves = f"{name}, {INDEXES[online['type']]}"

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have it do something; returns what it tells, `seconds` among it.

        Raises
        ------
        Refused
            It did not work; the message is Feast's.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"do": do, **what}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise Refused(str(answer["error"]))
        self.rows, self.total = answer.get("rows", self.rows), answer.get("sum", self.total)
        return answer


@contextmanager
def _feast() -> Iterator[Feast | None]:
    python = os.environ.get("TIFFIN_FEAST_PYTHON")
    if not python:
        yield None
        return
    command = [python, "-W", "ignore", str(Path(__file__).with_name("feast_worker.py"))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield Feast(process)
        finally:
            process.kill()


def run(*, quick: bool) -> Iterator[Result]:
    rows, entities = (size // (10 if quick else 1) for size in joining.M)
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        store = tiffin.FeatureStore(folder / "store", memory_cache_bytes=0, disk_cache_bytes=0)
        joining.save(store, "m", rows, entities, seed=0)
        address = opened.enter_context(redis())
        feasts = []
        for engine, online in (("dask", {"type": "sqlite", "path": "online.db"}), ("duckdb", _redis_of(address))):
            feast = opened.enter_context(_feast())
            if feast is None:
                yield Result("beside", "Feast: not measured, TIFFIN_FEAST_PYTHON is not set", "", "", "", "", met=True)
                break
            try:
                feast.make(folder / engine, *store.files(TABLE), engine, online)
            except Refused as error:
                yield Result("beside", f"Feast with {ENGINES[engine]}: failed: {error}", "", "", "", "", met=True)
            else:
                feasts.append(feast)
        for spine_rows in (rows // 100, rows // 10):
            yield from _join(store, folder, joining.make_spine(spine_rows, entities), feasts, 3)
        stores = {"LMDB": store}
        if address:
            stores["Redis"] = tiffin.FeatureStore(store.path, online_index=f"redis://{address}/1", memory_cache_bytes=0)
        yield from _online(stores, feasts, entities, 3 if quick else 5)
        for one in stores.values():
            one.close()


def _redis_of(address: str | None) -> dict[str, str]:
    return {"type": "redis", "connection_string": f"{address},db=2"} if address else {"type": "sqlite", "path": "o.db"}


def _join(
    store: tiffin.FeatureStore, folder: Path, spine: pl.DataFrame, feasts: list[Feast], rounds: int
) -> Iterator[Result]:
    files, features = store.files(TABLE), [*FLOATS, "segment"]
    as_pandas, path = spine.to_pandas(), folder / "spine.parquet"
    spine.write_parquet(path)
    ours: dict[str, Callable[[], float]] = {
        "Tiffin, Polars in and out": _timed(lambda: store.get_historical_features(spine, TABLE).to_polars()),
        "Tiffin, pandas in and out": _timed(lambda: store.get_historical_features(as_pandas, TABLE).to_pandas()),
    }
    rivals: dict[str, Callable[[], float]] = {
        f"Polars {pl.__version__}, by hand": _timed(partial(joining.by_polars, files, spine)),
        f"DuckDB {duckdb.__version__}, by hand": _timed(partial(joining.by_duckdb, files, spine, features)),
        f"pandas {pd.__version__}, merge_asof": _timed(partial(_by_pandas, files, as_pandas)),
        **{one.joins: _asking(one, "join", spine=str(path)) for one in feasts},
    }
    likes = ["Tiffin, Polars in and out"] * 2 + ["Tiffin, pandas in and out"] * (len(rivals) - 2)
    taken, refused = _in_turns({**ours, **rivals}, rounds)
    case = f"training frame, {spine.height:,} × {store.describe(TABLE).rows:,} rows"
    total = store.get_historical_features(spine, TABLE).to_polars()[FLOATS[0]].sum()
    notes = {one.joins: _difference(one, spine.height, total) for one in feasts}
    yield from _compare(case, taken, refused, dict(zip(rivals, likes, strict=True)), notes)


def _difference(feast: Feast, rows: int, total: float) -> str:
    """Say what is different about its training frame."""
    told = [f"{feast.rows:,} of {rows:,} rows"] if feast.rows != rows else []
    told += ["other values"] if not math.isclose(feast.total, total, rel_tol=1e-6) else []
    return f" ({', '.join(told)})" if told else ""


def _by_pandas(files: list[str], spine: pd.DataFrame) -> pd.DataFrame:
    right = pd.read_parquet(files).sort_values("event_timestamp")
    left = spine.assign(row=range(len(spine))).sort_values("event_timestamp")
    joined = pd.merge_asof(left, right, on="event_timestamp", by="user_id")
    return joined.sort_values("row").drop(columns="row")


def _online(
    stores: Mapping[str, tiffin.FeatureStore], feasts: list[Feast], entities: int, rounds: int
) -> Iterator[Result]:
    ours = {f"Tiffin, {index}": store for index, store in stores.items()}
    embedded, *others = ours
    likes = {one.serves: others[0] if one.serves.endswith("Redis") and others else embedded for one in feasts}
    fills = {name: partial(_fill, store) for name, store in ours.items()}
    asks = {one.serves: _asking(one, "materialize", end=LAST.isoformat()) for one in feasts}
    taken, refused = _in_turns({**fills, **asks}, 1, warm=False)
    yield from _compare(f"online from scratch, {entities:,} entities", taken, refused, likes)
    chance = random.Random(0)
    for count, times in ((1, 300), (100, 30)):
        asked = [[chance.randrange(entities) for _ in range(count)] for _ in range(times)]
        reads = {name: partial(_read, store, asked) for name, store in ours.items()}
        asks = {one.serves: _asking(one, "online", asked=asked) for one in feasts}
        taken, refused = _in_turns({**reads, **asks}, rounds)
        yield from _compare(f"online read, {count} × 10 features", taken, refused, likes)
    row = {"user_id": 1, **dict.fromkeys(FLOATS, 0.5), "segment": "segment 001"}
    pushes = {f"{name}, and durably in the table": partial(_push, store, row) for name, store in ours.items()}
    asks = {one.serves: _asking(one, "push", row=row, times=10) for one in feasts}
    taken, refused = _in_turns({**pushes, **asks}, rounds)
    pairs = {name: f"{like}, and durably in the table" for name, like in likes.items()}
    yield from _compare("push of one row", taken, refused, pairs)


def _fill(store: tiffin.FeatureStore) -> float:
    store.close()
    shutil.rmtree(store.path / "online", ignore_errors=True)
    return _timed(lambda: store.materialize(TABLE))()


def _read(store: tiffin.FeatureStore, asked: list[list[int]]) -> float:
    questions = [[{"user_id": user} for user in users] for users in asked]
    return median(_timed(lambda rows=rows: store.get_online_features(FEATURES, rows).to_dict())() for rows in questions)


def _push(store: tiffin.FeatureStore, row: Mapping[str, Any]) -> float:
    rows = [pl.DataFrame([{**row, "event_timestamp": datetime.now(UTC)}]) for _ in range(10)]
    return median(_timed(lambda one=one: store.push(TABLE, one))() for one in rows)


def _timed(action: Callable[[], object]) -> Callable[[], float]:
    def act() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return act


def _asking(feast: Feast, do: str, **what: Any) -> Callable[[], float]:
    return lambda: float(feast.ask(do, **what)["seconds"])


def _in_turns(
    sides: Mapping[str, Callable[[], float]], rounds: int, *, warm: bool = True
) -> tuple[Taken, dict[str, str]]:
    """Let all take turns; a first round warms up. Returns what each took, and why who stopped did."""
    taken: Taken = {name: [] for name in sides}
    refused: dict[str, str] = {}
    for number in range(rounds + warm):
        for name, side in sides.items():
            if name not in refused:
                try:
                    seconds = side()
                except Refused as error:
                    refused[name] = str(error)
                else:
                    taken[name] += [seconds] if number >= warm else []
    return {name: several for name, several in taken.items() if several}, refused


def _compare(
    case: str,
    taken: Taken,
    refused: Mapping[str, str],
    likes: Mapping[str, str],
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Result]:
    """Put each tool beside ours that is like it; losses are told as plainly as wins."""
    for name, like in likes.items():
        if name in refused:
            yield Result("beside", case, "", f"{name}: failed: {refused[name][:200]}", "", "", met=True)
            continue
        seconds = {side: median(taken[side]) for side in (like, name)}
        share = seconds[name] / seconds[like]
        told = f"{share:.3g} × faster" if share >= 1 else f"{1 / share:.3g} × {SLOWER}"
        yield Result(
            "beside", case, f"{shown(seconds[like])} ({like.partition(', ')[2]})",
            f"{name}: {shown(seconds[name])}{notes.get(name, '')}", told, "", met=True, seconds=seconds,
        )  # fmt: skip
