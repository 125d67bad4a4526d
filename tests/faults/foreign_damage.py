"""Damages a table that another library wrote, which has no checksums, and reads it; in a process that may crash."""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from deltalake import write_deltalake

import tiffin
from faults.hostile_uploads import frame, mutated
from tiffin.errors import TiffinError

TABLE = "group/other"


def build(store: Path) -> None:
    """Make the table: two versions, in partitions."""
    folder = store / "features" / TABLE
    folder.mkdir(parents=True)
    rows = frame().drop("kind")
    for part in (rows.head(30), rows.tail(20)):
        write_deltalake(folder, part.to_arrow(), mode="append", partition_by=["yes", "day"])


def damages(store: Path, seed: int, count: int) -> Iterator[tuple[Path, bytes]]:
    """Choose what is to be written where: data files and commits in turn."""
    chosen = random.Random(seed)
    folder = store / "features" / TABLE
    kinds = [sorted(folder.glob("yes=*/**/*.parquet")), sorted(folder.glob("_delta_log/*.json"))]
    for number in range(count):
        path = chosen.choice(kinds[number % 2])
        yield path, mutated(path.read_bytes(), chosen)


def outcome(store: Path, path: Path, right: list[dict[str, object]]) -> str:
    """Read everything, and say what came of it."""
    try:
        with tiffin.FeatureStore(store, disk_cache_bytes=0) as opened:
            found = opened.read(TABLE).to_polars()
            opened.read(TABLE, where=[("id", "==", 7)])
            opened.history(TABLE)
            opened.examine(TABLE)
        rows = found.sort("id").to_dicts() if "id" in found.columns else None
    except TiffinError as error:
        number = int(path.stem) if path.suffix == ".json" else None
        is_named = path.name in str(error) or (number is not None and TABLE in f"{error} {error.context}")
        return "told" if is_named else f"WRONG: {path.name} is not named: {error}"
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - it is one of ours that is missing
        return f"WRONG: {traceback.format_exc(limit=-5)}"
    return "right" if rows == right else "unnoticed"


def main(store: Path, seed: int, count: int, report: Path, first: int) -> None:
    """Do the damages from the `first` on, and report each before it is done."""
    with tiffin.FeatureStore(store, disk_cache_bytes=0) as opened:
        right = opened.read(TABLE).to_polars().sort("id").to_dicts()
    with report.open("a") as lines:
        for number, (path, data) in enumerate(damages(store, seed, count)):
            if number < first:
                continue
            whole = path.read_bytes()
            print(json.dumps({"begin": number}), file=lines, flush=True)
            path.write_bytes(data)
            print(json.dumps({"end": number, "outcome": outcome(store, path, right)}), file=lines, flush=True)
            for remains in path.parent.glob("*.torn-*"):
                remains.unlink()
            path.write_bytes(whole)


if __name__ == "__main__":
    folder, begin, size, path, start = sys.argv[1:]
    if size == "0":
        build(Path(folder))
    else:
        main(Path(folder), int(begin), int(size), Path(path), int(start))
    os._exit(0)
