"""Sixty-four connections read from a server while another process saves: no error, nothing stale, nothing torn."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tiffin
from e2e.server_process import serving
from faults.workload import PROCESSES

CONNECTIONS = 64
KEYS = 200
EVERY_S = 0.1
TABLE = "g/t"


def rows(save: int) -> pl.DataFrame:
    """All rows of a save; each tells which it is of, and whose."""
    return pl.DataFrame({"id": range(KEYS), "save": save, "key": range(KEYS)})


def write(folder: Path, saved: Any, stop: Any) -> None:
    """Save all rows anew, time and again; `saved` is the last save that has returned."""
    with tiffin.FeatureStore(folder) as store:
        for number in itertools.count(1):
            began = time.monotonic()
            store.save(TABLE, rows(number), mode="upsert" if number % 3 else "overwrite")
            saved.value = number
            if stop.wait(max(0.0, began + EVERY_S - time.monotonic())):
                return


def wrong(found: list[dict[str, Any]], asked: list[int], least: int) -> str:
    """Say what is wrong with an answer that was asked for when a save had returned; empty if nothing is."""
    if [row["key"] for row in found] != asked:
        return f"asked for {asked}: {found}"
    saves = {row["save"] for row in found}
    if len(saves) != 1:
        return f"of several saves: {sorted(saves)}"
    return f"of save {min(saves)}, after {least} had returned" if min(saves) < least else ""


async def read(client: tiffin.AsyncFeatureStoreClient, first: int, saved: Any, until: float) -> tuple[int, list[str]]:
    """Read online and from the table until it is time; return how many reads there were, and what was wrong."""
    count, faults = 0, []
    while time.monotonic() < until:
        least = saved.value
        if count % 8 == first % 8:
            frame = await client.read(TABLE)
            found, asked = frame.to_polars().sort("id").to_dicts(), list(range(KEYS))
        else:
            asked = [(first * 7 + count * 13 + step * 50) % KEYS for step in range(3)]
            answer = await client.get_online_features([TABLE], [{"id": key} for key in asked])
            found = answer.rows()
        if fault := wrong(found, asked, least):
            faults.append(fault)
        count += 1
    return count, faults


async def read_all(url: str, saved: Any, seconds: float) -> list[tuple[int, list[str]]]:
    until = time.monotonic() + seconds
    async with tiffin.AsyncFeatureStoreClient(url, connections=CONNECTIONS, retries=0) as client:
        return await asyncio.gather(*(read(client, number, saved, until) for number in range(CONNECTIONS)))


def beside_a_writer(folder: Path, seconds: float) -> str:
    with tiffin.FeatureStore(folder) as store:
        store.save(TABLE, rows(0), entity="id", online=True)
    saved, stop = PROCESSES.Value("q", 0), PROCESSES.Event()
    writer = PROCESSES.Process(daemon=True, target=write, args=(folder, saved, stop))
    with serving(folder, "--workers", "2") as url:
        writer.start()
        found = asyncio.run(read_all(url, saved, seconds))
        stop.set()
        writer.join(30)
    assert writer.exitcode == 0
    assert [fault for _, faults in found for fault in faults] == []
    assert all(count > 0 for count, _ in found)
    assert saved.value >= seconds / EVERY_S / 4
    return f"{seconds:g} s, {CONNECTIONS} connections: {sum(count for count, _ in found):,} reads, {saved.value} saves"


def test_for_some_seconds(tmp_path, figure):
    figure(beside_a_writer(tmp_path / "store", 3))


@pytest.mark.slow
def test_for_a_minute(tmp_path, figure):
    figure(beside_a_writer(tmp_path / "store", 60))
