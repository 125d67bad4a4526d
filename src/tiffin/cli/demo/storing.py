"""The first half of the demo: tables are saved, read back through both caches and compared, and saved again."""

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

import tiffin
from tiffin.cli.demo.movie_tables import MovieTable
from tiffin.cli.run import Run
from tiffin.diff import Diff
from tiffin.errors import CorruptData
from tiffin.schema.compatibility import Mode
from tiffin.tables.table import Commit

_COLD_READS, _WARM_READS = 3, 20


class TableFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What saving and reading one table took."""

    table: str
    version: int
    rows: int
    columns: int
    memory_bytes: int
    """Size of the frame in memory, as Polars counts it."""
    disk_bytes: int
    """Size of the version's data files."""
    save_s: float
    """Until the version survives a power loss."""
    parquet_s: float
    """Read by a store that has nothing cached; the operating system may have the files in memory."""
    disk_cache_s: float | None
    """Read by a new store from the disk cache; None if the cache did not hold the table."""
    memory_cache_s: float | None
    """Read again by the same store; None if that is not from memory."""

    @property
    def smaller(self) -> float:
        """By what share the files are smaller than the frame in memory."""
        return 1 - self.disk_bytes / self.memory_bytes if self.memory_bytes else 0.0


class SecondSave(msgspec.Struct, frozen=True, kw_only=True):
    """What happened when the late ratings arrived."""

    ratings: int
    users: int
    """Users who gave them."""
    commits: list[Commit]
    diffs: list[Diff]
    history: list[Commit]
    """Versions of the interactions, newest first."""


def save_and_read(run: Run, tables: list[MovieTable], inputs: list[str]) -> list[TableFigures]:
    """Save tables, and read each of them from its files and from both caches.

    Raises
    ------
    CorruptData
        A table was not read back as it was saved.
    """
    figures = []
    with run.progress("steps") as bar:
        task = bar.add_task("", total=2 * len(tables))
        for table in tables:
            bar.update(task, description=f"saving {table.name}")
            start = time.perf_counter()
            commit = table.save(run.store, message="the first ratings", inputs=inputs)
            save_s = time.perf_counter() - start
            bar.update(task, advance=1, description=f"reading {table.name}")
            figures.append(_read(run.folder, table, commit, save_s))
            bar.advance(task)
    return figures


def _read(folder: Path, table: MovieTable, commit: Commit, save_s: float) -> TableFigures:
    """Read a table in each of the three ways, and compare each answer with what was saved."""
    expected = table.expected()
    parquet = [_timed(_open(folder), table.name, expected, use_cache=False) for _ in range(_COLD_READS)]
    with _open(folder) as filling:
        _timed(filling, table.name, expected)
    from_disk = [_timed_hits(_open(folder), "disk_cache", table.name, expected) for _ in range(_COLD_READS)]
    with _open(folder) as warm:
        _timed(warm, table.name, expected)
        from_memory = _timed_hits(warm, "memory_cache", table.name, expected, reads=_WARM_READS)
        info = warm.describe(table.name)
    return TableFigures(
        table=table.name,
        version=commit.version,
        rows=expected.height,
        columns=expected.width,
        memory_bytes=int(expected.estimated_size()),
        disk_bytes=info.size_bytes,
        save_s=save_s,
        parquet_s=statistics.median(parquet),
        disk_cache_s=_median(from_disk),
        memory_cache_s=_median([from_memory]),
    )


def _open(folder: Path) -> "tiffin.FeatureStore":
    return tiffin.FeatureStore(folder)


def _timed(store: "tiffin.FeatureStore", table: str, expected: pl.DataFrame, **how: Any) -> float:
    """Return the seconds that a read took; what was read must equal what was saved."""
    start = time.perf_counter()
    frame = store.read(table, **how).to_polars()
    passed_s = time.perf_counter() - start
    _check(table, frame, expected)
    return passed_s


def _check(table: str, frame: pl.DataFrame, expected: pl.DataFrame) -> None:
    if frame.schema != expected.schema or not frame.equals(expected, null_equal=True):
        raise CorruptData(f"table {table} was not read back as it was saved", hint="tiffin doctor tells more")


def _timed_hits(
    store: "tiffin.FeatureStore", cache: str, table: str, expected: pl.DataFrame, *, reads: int = 1
) -> list[float] | None:
    """Return the seconds that reads took, if it was this cache that answered all of them."""
    hits = _hits(store, cache)
    times_s = [_timed(store, table, expected) for _ in range(reads)]
    return times_s if _hits(store, cache) - hits >= reads else None


def _hits(store: "tiffin.FeatureStore", cache: str) -> int:
    figures = getattr(store.stats(), cache)
    return figures["hits"] if figures else 0


def _median(runs: list[list[float] | None]) -> float | None:
    known = [time_s for run in runs if run is not None for time_s in run]
    return None if None in runs else statistics.median(known)


def save_again(run: Run, late: pl.DataFrame, tables: list[MovieTable], inputs: list[str]) -> SecondSave:
    """Append the late ratings, save the preferences made from all of them, and tell what changed."""
    commits, diffs = [], []
    with run.progress("tables") as bar:
        for table in bar.track(tables, description="saving the late ratings"):
            is_log = table.timestamp is not None
            arriving = replace(table, frame=late) if is_log else table
            mode: Mode = "append" if is_log else "overwrite"
            commit = arriving.save(run.store, mode=mode, message="late ratings arrived", inputs=inputs)
            with _open(run.folder) as fresh:
                rows = fresh.read(table.name).to_polars()
            # An append adds a file: rows are sorted within each file, and compared sorted as a whole.
            _check(table.name, replace(table, frame=rows).expected(), table.expected())
            commits.append(commit)
            diffs.append(run.store.diff(table.name, commit.version - 1))
    return SecondSave(
        ratings=late.height,
        users=late["user_id"].n_unique(),
        commits=commits,
        diffs=diffs,
        history=run.store.history(tables[-1].name, limit=2),
    )
