"""Processes that save and read as hard as they can, and a ledger of what they were told.

A save writes one *group*: the rows of one slot, all with one token. So every version is a set of whole groups, a
version that mixes two saves is seen at once, and the ledger can work out the groups of every version by itself.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import tiffin
from tiffin.errors import TableNotFound, TiffinError

PROCESSES = multiprocessing.get_context("forkserver")
"""Starts a process in milliseconds, by a fork of a small process in which Polars has not been used."""
PROCESSES.set_forkserver_preload(["tiffin.store", "polars"])

ROWS = 4
"""Rows of a group."""
SLOTS = 4
"""Slots that overwrites and upserts choose from; each append has a slot of its own."""

Groups = dict[int, int]
"""The token of each slot."""


def frame_of(slot: int, token: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [slot * ROWS + row for row in range(ROWS)], "slot": [slot] * ROWS, "token": [token] * ROWS}
    )


def groups_of(frame: pl.DataFrame) -> Groups:
    """Return the groups of a version; an error if one is not whole."""
    tokens = dict(frame.select("slot", "token").iter_rows())
    wanted = [row for slot, token in tokens.items() for row in frame_of(slot, token).iter_rows()]
    found = list(frame.select("id", "slot", "token").iter_rows())
    assert sorted(found) == sorted(wanted), f"a torn version: {sorted(found)}"
    return tokens


def applied(before: Groups, mode: str, slot: int, token: int) -> Groups:
    return {slot: token} if mode == "overwrite" else {**before, slot: token}


class Notes:
    """Lines appended to a file; each is there as soon as it is written, whatever becomes of the process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *, sync: bool = False, **line: object) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        if sync:
            os.fsync(self._descriptor)


def notes(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are whole: one that is being written may be seen in part, or be left so by a kill."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def save_one(store: tiffin.FeatureStore, log: Notes, table: str, mode: str, slot: int, token: int) -> None:
    """Save a group, and note it before and after."""
    what = {"table": table, "mode": mode, "slot": slot, "token": token}
    log.write(event="begin", **what)
    commit = store.save(table, frame_of(slot, token), entity="id", mode=mode)
    log.write(event="saved", version=commit.version, **what)


def save_many(folder: Path, log_path: Path, seed: int, plan: dict[str, Any]) -> None:
    """Save groups to some tables, in random modes: `plan` has tables, modes, saves (None: until killed), settings."""
    chance = random.Random(seed)
    store, log = tiffin.FeatureStore(folder, **plan.get("settings", {})), Notes(log_path)
    saves = plan.get("saves")
    for number in itertools.count() if saves is None else range(saves):
        mode, token = chance.choice(plan["modes"]), seed * 1_000_000 + number
        slot = token + SLOTS if mode == "append" else chance.randrange(SLOTS)
        save_one(store, log, chance.choice(plan["tables"]), mode, slot, token)
    store.close()


def read_until(folder: Path, log_path: Path, stop: Path, tables: list[str]) -> None:
    """Read the newest versions until a file appears; note what was seen of each version, and every failure."""
    store, log = tiffin.FeatureStore(folder, disk_cache_bytes=0), Notes(log_path)
    reads, seen = 0, set()
    while not stop.exists():
        for table in tables:
            try:
                answer = store.read(table, use_cache=False)
                key = (table, answer.lock[table])
                groups = groups_of(answer.to_polars())
            except TableNotFound:
                continue
            except (TiffinError, AssertionError) as error:
                log.write(event="failed", table=table, what=f"{type(error).__name__}: {error}")
                continue
            reads += 1
            if key not in seen:
                seen.add(key)
                log.write(event="seen", table=table, version=key[1], groups=sorted(groups.items()))
    log.write(event="read", reads=reads)


@dataclass
class Ledger:
    """What is known of one table with one writer at a time."""

    acknowledged: dict[int, Groups] = field(default_factory=dict)
    pending: Groups | None = None
    saves: int = 0

    def follow(self, lines: list[dict[str, Any]]) -> None:
        """Take in the notes of one writer."""
        current = self.acknowledged[max(self.acknowledged)] if self.acknowledged else {}
        for line in lines:
            self.pending = applied(current, line["mode"], line["slot"], line["token"])
            if line["event"] == "saved":
                current = self.acknowledged[line["version"]] = self.pending
                self.pending = None
                self.saves += 1

    def check(self, store: tiffin.FeatureStore, table: str) -> None:
        """Compare every version that can be read with what was acknowledged; what was in flight may be there or not."""
        newest = max(self.acknowledged, default=-1)
        try:
            history = store.history(table)[::-1]
        except TableNotFound:
            assert newest < 0, f"{table} is gone"
            return
        versions = [commit.version for commit in history]
        assert versions == list(range(versions[0], versions[-1] + 1)), f"gaps in {table}: {versions}"
        assert versions[-1] >= newest, f"{table} lost version {newest}"
        for commit in history:
            if commit.version not in self.acknowledged and commit.operation != "compact":
                assert commit.version > newest, f"nobody saved version {commit.version} of {table}"
                assert self.pending is not None, f"nobody saved version {commit.version} of {table}"
                self.acknowledged[commit.version], self.pending = self.pending, None
            base = max(version for version in self.acknowledged if version <= commit.version)
            found = groups_of(store.read(table, version=commit.version, use_cache=False).to_polars())
            assert found == self.acknowledged[base], f"version {commit.version} of {table}"
        self.pending = None


def replayed(store: tiffin.FeatureStore, table: str, lines: list[dict[str, Any]]) -> dict[int, Groups]:
    """Work out the groups of every version from the acknowledgements of several writers that all came to their end."""
    saved = {line["version"]: line for line in lines if line["event"] == "saved" and line["table"] == table}
    groups: Groups = {}
    versions = {}
    for version in range(max(saved) + 1):
        if version in saved:
            line = saved[version]
            groups = applied(groups, line["mode"], line["slot"], line["token"])
        versions[version] = groups
    return versions
