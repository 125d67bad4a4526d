"""The rows of a feature view, from its Parquet file."""

from __future__ import annotations

import re
from typing import NamedTuple

import polars as pl

from tiffin.errors import SchemaMismatch, StorageError, did_you_mean
from tiffin.feast_repository.definitions import View
from tiffin.feast_repository.kinds import fitted, takes

_INTERNAL = re.compile("^__|__$")
"""Columns that Feast does not take for features unless they are declared."""


class Rows(NamedTuple):
    """The rows of a feature view."""

    frame: pl.DataFrame
    """Keys, timestamp, created, features: by the names that the view has for them."""
    timestamp: str
    created: str | None
    kept: list[str]
    """Types that are declared and would change values: `Float32 of 'mean', which needs Float64`."""


def read_rows(view: View) -> Rows:
    """Read the rows of a feature view, with the types that it declares.

    Parameters
    ----------
    view : View
        Where they are, and which columns it takes.

    Returns
    -------
    Rows

    Raises
    ------
    StorageError
        The file is not there, or cannot be read.
    SchemaMismatch
        A column is not in the file, or holds values of another kind than is declared.
    """
    scanned = _scan(view)
    held = _schema(view, scanned)
    renamed = {new: old for old, new in view.source.mapping.items() if old in held}
    timestamp = view.source.timestamp or _only_timestamp(view, held)
    created = view.source.created or None
    times = [timestamp, created] if created else [timestamp]
    features = view.features or _all_features(view, held, times)
    names = [*dict.fromkeys([*view.keys, *times, *features])]
    columns = {name: renamed.get(name, name) for name in names}
    for name, old in columns.items():
        if old not in held:
            raise SchemaMismatch(
                f"column {old!r} of {_told(view)} is not in {view.source.written!r}", hint=did_you_mean(name, held)
            )
    try:
        frame = scanned.select(pl.col(old).alias(name) for name, old in columns.items()).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unread(view, error) from error
    typed, kept = _typed(view, frame)
    return Rows(typed, timestamp, created, kept)


def _told(view: View) -> str:
    return f"feature view {view.name!r} ({view.place})"


def _scan(view: View) -> pl.LazyFrame:
    path = view.source.path
    if not path.exists():
        raise StorageError(
            f"the file {view.source.written!r} of {_told(view)} is not there: {str(path)!r}",
            hint="put it there, or correct the path; it is relative to the repository",
        )
    by_folder = path.is_dir() and any("=" in each.name for each in path.iterdir() if each.is_dir())
    return pl.scan_parquet(path, glob=False, hive_partitioning=by_folder)


def _schema(view: View, scanned: pl.LazyFrame) -> pl.Schema:
    try:
        return scanned.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unread(view, error) from error


def _unread(view: View, error: Exception) -> StorageError:
    return StorageError(
        f"the file {view.source.written!r} of {_told(view)} cannot be read as Parquet: {error}",
        hint="write it again as Parquet",
    )


def _only_timestamp(view: View, held: pl.Schema) -> str:
    """Find the timestamp that a source does not name, as Feast does: the only column of that type."""
    times = [name for name, dtype in held.items() if isinstance(dtype, pl.Datetime)]
    if len(times) != 1:
        found = f"it has several times: {', '.join(times)}" if times else "it has no column of times"
        raise SchemaMismatch(
            f"the source of {_told(view)} names no timestamp, and {found}",
            hint="say timestamp_field=… in its FileSource",
        )
    return view.source.mapping.get(times[0], times[0])


def _all_features(view: View, held: pl.Schema, times: list[str]) -> list[str]:
    names = [view.source.mapping.get(name, name) for name in held if not _INTERNAL.search(name)]
    return [name for name in names if name not in {*view.keys, *times}]


def _typed(view: View, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Give columns the types that are declared of them; say which of them keep their own."""
    columns, kept = [], []
    for declared in view.fields:
        if declared.name not in frame.columns:
            continue
        column = frame[declared.name]
        made = fitted(column, declared.kind)
        if made is None:
            raise SchemaMismatch(
                f"column {declared.name!r} of {_told(view)} is declared {declared.kind}, and holds {column.dtype}",
                hint="correct its dtype in the schema, or the file",
            )
        columns.append(made)
        if made is column and not takes(column.dtype, declared.kind):
            kept.append(f"{declared.kind} of {declared.name!r}, which needs {column.dtype}")
    return frame.with_columns(columns), kept
