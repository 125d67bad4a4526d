"""Connections that read online while another process saves: errors, and answers that are stale or torn.

Each save writes its number into every row, twice; an answer that was asked for after save n had returned must be
wholly of save n or later.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

import tiffin
from benchmarks.measure import Result
from benchmarks.web import served

CONNECTIONS, KEYS, EVERY_S = 64, 200, 0.1
FEATURES = ["group/table:save", "group/table:again"]


def run(*, quick: bool) -> Iterator[Result]:
    seconds = 3 if quick else 60
    processes = multiprocessing.get_context("spawn")
    saved, stop = processes.Value("q", 0), processes.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tiffin.FeatureStore(folder) as store:
            store.save("group/table", _rows(0), entity="id", online=True)
        writer = processes.Process(target=_write, args=(folder, saved, stop), daemon=True)
        with served(folder) as (url, _):
            writer.start()
            while writer.is_alive() and not saved.value:
                time.sleep(0.01)
            reads, wrong = asyncio.run(_read_all(url, saved, seconds))
            stop.set()
            writer.join()
    case = f"{CONNECTIONS} connections for {seconds} s, a save every 100 ms"
    saves = f"{saved.value:,} saves"
    yield Result(
        "http", f"{case}: errors, stale and torn answers", f"{wrong}", f"{reads:,} reads, {saves}", "", "0",
        wrong == 0 and saved.value > 0,
    )  # fmt: skip


def _rows(number: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(KEYS), "save": number, "again": number})


def _write(folder: Path, saved: Any, stop: Any) -> None:
    with tiffin.FeatureStore(folder) as store:
        for number in itertools.count(1):
            began = time.monotonic()
            store.save("group/table", _rows(number))
            saved.value = number
            if stop.wait(max(0.0, began + EVERY_S - time.monotonic())):
                return


async def _read_all(url: str, saved: Any, seconds: float) -> tuple[int, int]:
    """Read until it is time; return how many reads there were, and how many of them were wrong."""
    until = time.monotonic() + seconds
    async with tiffin.AsyncFeatureStoreClient(url, connections=CONNECTIONS, retries=0) as client:

        async def read(first: int) -> tuple[int, int]:
            reads = wrong = 0
            while time.monotonic() < until:
                least, users = saved.value, [(first + step * 50) % KEYS for step in range(3)]
                try:
                    answer = await client.get_online_features(FEATURES, [{"id": user} for user in users])
                except tiffin.TiffinError:
                    wrong += 1
                else:
                    found = answer.to_dict()
                    seen = {*found["save"], *found["again"]}
                    wrong += len(seen) != 1 or min(seen) < least
                reads += 1
            return reads, wrong

        counts = await asyncio.gather(*(read(number) for number in range(CONNECTIONS)))
    return sum(reads for reads, _ in counts), sum(wrong for _, wrong in counts)
