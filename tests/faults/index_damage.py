"""Damages the files of an online index in every way, and looks what is answered then; in a process that may crash."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from tiffin.errors import IndexDamaged, NoSpace, OnlineUnavailable
from tiffin.files import LOCAL
from tiffin.online import Head, KeyCodec, OnlineIndex, RowCodec, open_index

PAGE_BYTES = 4096
MAP_BYTES = 1 << 30
COUNT = 600
"""Entities of each table; some twenty-five fill a page."""
TABLES = ["one", "two"]

KEYS = KeyCodec({"id": pl.Int64()})
ROWS = RowCodec({f"f{number}": pl.Float64() for number in range(10)})


class Damage(NamedTuple):
    """Some bytes written over others."""

    at: int
    bytes: bytes


def head_of(version: int) -> Head:
    return Head("group/name", version, version, ROWS.order, "layout")


def key_of(number: int) -> bytes:
    key = KEYS.encode_one((number,))
    assert key is not None
    return key


def values_of(number: int, version: int) -> list[float]:
    return [number + version / 16 + place for place in range(10)]


def row_of(number: int, version: int) -> bytes:
    return ROWS.pack(key_of(number), [[version, *values_of(number, version)]])


def rows_of(version: int, numbers: Iterator[int] | range) -> list[tuple[bytes, bytes]]:
    return [(key_of(number), row_of(number, version)) for number in numbers]


def build(folder: Path) -> bytes:
    """Make an index with a history: two loads, and rows changed since; return its file."""
    index = open_index("lmdb", folder, LOCAL, MAP_BYTES)
    for version in (1, 2):
        for table in TABLES:
            assert index.load(table, head_of(version), lambda after, v=version: [rows_of(v, range(COUNT))])
    for table in TABLES:
        assert index.apply(table, head_of(2), head_of(3), rows_of(3, range(0, COUNT, 7)), [])
    index.close()
    return (folder / "data.mdb").read_bytes().rstrip(b"\0") + bytes(PAGE_BYTES)


def try_all(folder: Path, original: bytes, damages: list[Damage], report: Path, first: int, *, again: bool) -> None:
    """Do every damage in turn from the `first` on, and report each before it is done and what came of it.

    If `again`, the first has been done, and killed the process: now it must be found and repaired.
    """
    with report.open("a") as lines:
        for number, damage in enumerate(damages[first:], first):
            print(json.dumps({"begin": number}), file=lines, flush=True)
            if not (again and number == first):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                rest = original[damage.at + len(damage.bytes) :]
                (folder / "data.mdb").write_bytes(original[: damage.at] + damage.bytes + rest)
            index = open_index("lmdb", folder, LOCAL, MAP_BYTES)
            found = looked_up(index, range(0, COUNT, 3))
            # What comes next may kill the process; looking up must not.
            print(json.dumps({"looked up": number}), file=lines, flush=True)
            found += changed(index) + looked_up(index, range(1, COUNT, 3))
            index.reset()
            assert index.load("one", head_of(3), lambda after: [rows_of(2, range(100))])
            assert index.count("one") == len(index.keys("one", 200)) == 100
            index.close()
            print(json.dumps({"end": number, "outcome": found}), file=lines, flush=True)


def changed(index: OnlineIndex) -> Counter[str]:
    """Walk and change everything there is, without a change to any entity that is looked up."""
    found: Counter[str] = Counter()
    other = range(2, COUNT, 3)
    for work in (
        index.tables,
        lambda: [index.keys(table, 50) for table in TABLES],
        lambda: [index.count(table) for table in TABLES],
        lambda: index.apply("one", head_of(3), head_of(4), rows_of(4, other), [key_of(number) for number in other]),
        lambda: index.load("two", head_of(4), lambda after: []),
        lambda: index.drop("two"),
    ):
        try:
            work()
        except IndexDamaged:
            found["refused"] += 1
        except (NoSpace, OnlineUnavailable):
            found["failed"] += 1
    return found


def looked_up(index: OnlineIndex, numbers: range) -> Counter[str]:
    """Look some entities up; an answer is right, absent or known to be damaged, else outdated or wrong."""
    found: Counter[str] = Counter()
    keys = [key_of(number) for number in numbers]
    for table in TABLES:
        for first in range(0, len(keys), 20):
            some = slice(first, first + 20)
            try:
                [(head, rows)] = index.get_many([(table, keys[some])])
            except IndexDamaged:
                found["damaged"] += 1
                continue
            if head is None:
                found["absent"] += 1
                continue
            for number, key, row in zip(numbers[some], keys[some], rows, strict=True):
                found[answer(number, key, row)] += 1
    return found


def answer(number: int, key: bytes, row: bytes | None) -> str:
    try:
        values = None if row is None else ROWS.unpack(key, row)
    except IndexDamaged:
        return "damaged"
    newest = 3 if number % 7 == 0 else 2
    if values is None:
        return "absent"
    if values == [newest, *values_of(number, newest)]:
        return "right"
    return "outdated" if values == [values[0], *values_of(number, values[0])] else "wrong"


def flips(original: bytes, count: int, seed: int) -> list[Damage]:
    """Single bits anywhere, half of them where the structure of a page lies."""
    chosen = random.Random(seed)
    damages = []
    for _ in range(count):
        page = chosen.randrange(len(original) // PAGE_BYTES)
        at = page * PAGE_BYTES + chosen.randrange(100 if chosen.random() < 0.5 else PAGE_BYTES)
        damages.append(Damage(at, bytes([original[at] ^ 1 << chosen.randrange(8)])))
    return damages


def scribbles(original: bytes, count: int, seed: int) -> list[Damage]:
    """Whole or half pages of noise, of nothing, or of what belongs elsewhere."""
    chosen = random.Random(seed)
    damages = []
    for _ in range(count):
        page, other = (chosen.randrange(len(original) // PAGE_BYTES) * PAGE_BYTES for _ in range(2))
        size = chosen.choice([PAGE_BYTES, PAGE_BYTES // 2, 512, 8])
        contents = chosen.choice([chosen.randbytes(size), bytes(size), original[other : other + size]])
        damages.append(Damage(page + chosen.choice([0, 0, PAGE_BYTES - size]), contents))
    return damages


if __name__ == "__main__":
    kind, folder, original, count, seed, report, first, again = sys.argv[1:]
    data = Path(original).read_bytes()
    damages = {"flips": flips, "scribbles": scribbles}[kind](data, int(count), int(seed))
    try_all(Path(folder), data, damages, Path(report), int(first), again=again == "again")
    os._exit(0)
