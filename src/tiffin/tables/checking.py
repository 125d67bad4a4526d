"""Checking constraints: of rows that arrive, before they are committed, and of rows that are there.

Everything that is asked of a row is asked in one pass over the columns that matter; only where something is broken are
its rows looked for. Rows that are there are read a stretch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import polars as pl

from tiffin.errors import FeatureNotFound, InvalidInputError, StorageError
from tiffin.schema import dtypes
from tiffin.schema.compatibility import Mode
from tiffin.schema.constraints.fitting import time_column, unique_columns
from tiffin.schema.constraints.kinds import Constraint, Fresh, RowChange, RowConstraint, Rows, TableConstraint, Unique
from tiffin.schema.constraints.rows import breaks, columns
from tiffin.schema.constraints.texts import text
from tiffin.schema.durations import write_duration
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add
from tiffin.tables.datafiles import may_hold
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.tables.violations import Tally

STRETCH_ROWS = 1 << 20
"""Rows that are looked at together, where they are read from files."""


def of_rows(constraints: Iterable[Constraint]) -> list[RowConstraint]:
    """Choose the constraints that can be asked of every row by itself."""
    return [each for each in constraints if isinstance(each, get_args(RowConstraint))]


def of_keys(constraints: Iterable[Constraint]) -> list[Unique]:
    """Choose the constraints that compare rows by their keys."""
    return [each for each in constraints if isinstance(each, Unique)]


def of_whole(constraints: Iterable[Constraint]) -> list[Fresh | Rows | RowChange]:
    """Choose the constraints that are about all rows as a whole."""
    return [each for each in constraints if isinstance(each, Fresh | Rows | RowChange)]


def check_rows(
    frame: pl.DataFrame, constraints: Sequence[RowConstraint], spec: TableSpec, table: str
) -> tuple[list[Tally], dict[str, pl.Series]]:
    """Ask constraints of the rows of a frame.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
        Rows as people see them, with at least the columns that the constraints look at and the keys.
    constraints : sequence of RowConstraint
        What they must satisfy.
    spec : TableSpec
        What the table declares.
    table : str
        Its name, for messages.

    Returns
    -------
    tuple of list of Tally and dict of str to Series
        Of each constraint, what was found; of each that is broken, by name, which rows break it (n booleans).

    Raises
    ------
    InvalidInputError
        An expression fails on the rows.
    StorageError
        Another writer declared a constraint that cannot be evaluated.
    """
    tallies = [Tally(each) for each in constraints]
    asked = {each.name: _asked(each, spec, table) for each in constraints}
    if not asked:
        return [], {}
    try:
        # Whether any row breaks it costs less than which do, and is nearly always all that has to be known.
        broken = frame.lazy().select(expression.any().alias(name) for name, expression in asked.items()).collect()
        names = [name for name, is_broken in broken.row(0, named=True).items() if is_broken]
        masks = frame.select(asked[name].alias(name) for name in names).to_dict() if names else {}
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(
            f"a constraint of table {table} fails on the rows: {str(error).splitlines()[0]}",
            hint="write its SQL so that it can be asked of every row: TRY_CAST for CAST",
        ) from error
    for tally in tallies:
        if tally.constraint.name in masks:
            tally.count(frame.filter(masks[tally.constraint.name]).select(_shown(tally.constraint, spec)))
    return tallies, masks


def _asked(constraint: RowConstraint, spec: TableSpec, table: str) -> pl.Expr:
    try:
        return breaks(constraint, spec.dtypes)
    except (InvalidInputError, FeatureNotFound) as error:
        raise StorageError(
            f"table {table} cannot be checked or written to: its constraint {constraint.name!r} ({text(constraint)}) "
            f"cannot be understood: {error.message}",
            hint="another writer declared it, or changed the columns under it: take it away with that tool, or by "
            f"store.unconstrain({table!r}, {constraint.name!r}), tiffin constrain {table} --drop {constraint.name!r}",
        ) from error


def _shown(constraint: Constraint, spec: TableSpec) -> list[str]:
    """Name the columns that are shown of a row: its keys first."""
    return list(dict.fromkeys([*spec.row_key, *_looked_at(constraint, spec)]))


def _looked_at(constraint: Constraint, spec: TableSpec) -> tuple[str, ...]:
    """Name the columns that a constraint looks at."""
    if isinstance(constraint, Unique):
        return unique_columns(constraint, spec.row_key)
    if isinstance(constraint, Fresh):
        return (time_column(constraint, spec.timestamp),)
    return () if isinstance(constraint, Rows | RowChange) else columns(constraint, spec.dtypes)


@dataclass(frozen=True)
class Standing:
    """The rows that are there already and stay, when a save brings others."""

    table: Table
    state: State | None
    spec: TableSpec
    """What the table declares after the save."""
    mode: Mode
    keys: pl.DataFrame
    """Row keys of the rows that arrive, as they are stored: an upsert takes their like away."""
    before: int | None
    """Rows of the version before; None if there is none, or they were not counted."""

    @property
    def adds(self) -> list[Add]:
        """The files that hold them."""
        return list(self.state.files.values()) if self.state and self.mode != "overwrite" else []

    @property
    def is_asked(self) -> bool:
        """Whether a constraint may have to look at them."""
        declared, known = self.spec.constraints, self.state.spec.constraints if self.state else ()
        return bool(self.adds) and (declared != known or any(isinstance(one, TableConstraint) for one in declared))

    @property
    def rows(self) -> int:
        """How many they are."""
        if self.mode == "append" and self.state and self.state.rows is not None:
            return self.state.rows
        return int(self._collect(self._scan(self.adds, []).select(pl.len()), self.adds).item()) if self.adds else 0

    def sharing(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Find those of some keys, in stored form, that they have too."""
        names = keys.columns
        low, high = keys[names[0]].min(), keys[names[0]].max()
        adds = [add for add in self.adds if low is not None and may_hold(add, names[0], low, high)]
        if not adds:
            return keys.clear()
        rows = self._scan(adds, names).join(keys.lazy(), on=names, how="semi").select(names).unique()
        return self._collect(rows, adds)

    def newest(self, column: str) -> Any:
        """Return the newest time of a column, None if they have none."""
        if not self.adds:
            return None
        return self._collect(self._scan(self.adds, [column]).select(pl.col(column).max()), self.adds).item()

    def stretches(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read columns of them as people see them, a stretch at a time."""
        for add in self.adds:
            rows = self._scan([add], names).select(names)
            for start in range(0, add.known.num_records or 1, STRETCH_ROWS):
                most = STRETCH_ROWS if add.known.num_records is not None else None
                yield dtypes.from_stored(self._collect(rows.slice(start, most), [add]), self.spec.dtypes)

    def _scan(self, adds: Sequence[Add], names: Sequence[str]) -> pl.LazyFrame:
        assert self.state is not None
        old, stored = self.state.spec, self.spec.stored
        taken = self.keys.columns if self.mode == "upsert" else []
        rows = self.table.data.scan(adds, old).select(
            (pl.col(name) if name in old.stored else pl.lit(None)).cast(stored[name]).alias(name)
            for name in dict.fromkeys([*names, *taken] or self.spec.names[:1])
        )
        return rows.join(self.keys.lazy(), on=taken, how="anti", maintain_order="left") if taken else rows

    def _collect(self, rows: pl.LazyFrame, adds: Sequence[Add]) -> pl.DataFrame:
        return self.table.data.collect(rows, adds)


def check_unique(
    frame: pl.DataFrame, constraints: Sequence[Unique], standing: Standing
) -> tuple[list[Tally], dict[str, pl.Series]]:
    """Ask whether rows that arrive share a key with one another, or with rows that stay; answers as `check_rows` does.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
        The rows that arrive, as people see them.
    constraints : sequence of Unique
        The keys.
    standing : Standing
        The rows that stay.
    """
    tallies, masks = [Tally(each) for each in constraints], {}
    for tally, constraint in zip(tallies, constraints, strict=True):
        mask = _shared(frame, constraint, standing)
        if mask.any():
            masks[constraint.name] = mask
            tally.count(frame.filter(mask).select(_shown(constraint, standing.spec)))
    return tallies, masks


def _shared(frame: pl.DataFrame, constraint: Unique, standing: Standing) -> pl.Series:
    """Tell which rows share their key with another, or with a row that stays."""
    names = list(unique_columns(constraint, standing.spec.row_key))
    keys = frame.select(names)
    whole = _is_whole(keys)
    mask = keys.is_duplicated() & whole if _has_repeats(keys) else pl.repeat(False, keys.height, eager=True)
    # An upsert takes away what has the key of a row that arrives.
    if not standing.adds or (standing.mode == "upsert" and set(standing.spec.row_key) <= set(names)):
        return mask
    stored = dtypes.to_stored(keys)
    known = standing.sharing(stored.filter(whole))
    if known.is_empty():
        return mask
    found = stored.join(known.with_columns(pl.lit(True).alias("\0known")), on=names, how="left", maintain_order="left")
    return mask | found["\0known"].fill_null(False)


def check_own_keys(constraints: Sequence[Unique], standing: Standing) -> list[Tally]:
    """Ask whether rows that stay share a key with one another; only the key columns are read, of all rows together."""
    tallies = [Tally(each) for each in constraints]
    for tally, constraint in zip(tallies, constraints, strict=True):
        names = list(unique_columns(constraint, standing.spec.row_key))
        shown = _shown(constraint, standing.spec)
        none = pl.DataFrame(schema={name: standing.spec.dtypes[name] for name in shown})
        rows = pl.concat([none, *standing.stretches(shown)])
        tally.count(rows.filter(rows.select(names).is_duplicated() & _is_whole(rows.select(names))))
    return tallies


def _has_repeats(keys: pl.DataFrame) -> bool:
    """Tell whether a key comes twice, which costs less than which do, and most often is all that has to be known."""
    distinct = keys.n_unique() if keys.width == 1 else keys.lazy().unique().select(pl.len()).collect().item()
    return bool(distinct < keys.height)


def _is_whole(keys: pl.DataFrame) -> pl.Series:
    """Tell which keys have no null."""
    return keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()


def check_whole(
    frame: pl.DataFrame, constraints: Sequence[Fresh | Rows | RowChange], standing: Standing
) -> list[Tally]:
    """Ask constraints of the rows that arrive and those that stay, as a whole; answers as `check_rows` does."""
    return [Tally(each, found=_found(each, frame, standing)) for each in constraints]


def check_number(constraints: Sequence[Fresh | Rows | RowChange], rows: int, before: int | None) -> list[Tally]:
    """Ask constraints of a number of rows, and of that of the version before; those of times are left out."""
    return [
        Tally(each, found=_miscounted(each, rows, before)) for each in constraints if isinstance(each, Rows | RowChange)
    ]


def _found(constraint: Fresh | Rows | RowChange, frame: pl.DataFrame, standing: Standing) -> str:
    """Say what breaks a constraint of a table as a whole; empty if nothing does."""
    if isinstance(constraint, Fresh):
        name = time_column(constraint, standing.spec.timestamp)
        arriving = frame[name].max() if frame.height else standing.newest(name)
        return _stale(constraint, arriving, lambda: standing.newest(name))
    return _miscounted(constraint, frame.height + standing.rows, standing.before)


def check_standing(constraints: Sequence[RowConstraint], standing: Standing) -> list[Tally]:
    """Ask constraints of the rows that stay, a stretch at a time; answers as `check_rows` does."""
    spec = standing.spec
    for constraint in constraints:
        # One that cannot be asked is told as such, before its columns are looked for.
        _asked(constraint, spec, str(standing.table.name))
    names = list(dict.fromkeys(name for each in constraints for name in _shown(each, spec)))
    tallies = [Tally(each) for each in constraints]
    for rows in standing.stretches(names) if constraints else ():
        found, _ = check_rows(rows, constraints, spec, str(standing.table.name))
        for tally, each in zip(tallies, found, strict=True):
            tally.add(each)
    return tallies


def _stale(constraint: Fresh, newest: Any, older: Callable[[], Any]) -> str:
    """Say what is wrong with the newest time of the rows that arrive, or else of the others; empty if nothing is."""
    age = _age(newest)
    if age is not None and constraint.max_ahead is not None and -age > constraint.max_ahead:
        return f"the newest is {newest}, {write_duration(-age)} ahead"
    if constraint.max_age is None:
        return ""
    if age is None or age > constraint.max_age:
        known = [moment for moment in (age, _age(older())) if moment is not None]
        if not known:
            return "there is no time"
        if min(known) > constraint.max_age:
            return f"the newest is {write_duration(_rounded(min(known)))} old"
    return ""


def _age(moment: Any) -> timedelta | None:
    """Tell how long ago a time was; a day begins at midnight UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    age: timedelta = datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return age


def _rounded(duration: timedelta) -> timedelta:
    return duration - duration % timedelta(seconds=1)


def _miscounted(constraint: Rows | RowChange, rows: int, before: int | None) -> str:
    """Say what is wrong with the number of rows; empty if nothing is."""
    if isinstance(constraint, Rows):
        is_broken = rows < constraint.min_rows or (constraint.max_rows is not None and rows > constraint.max_rows)
        return f"{rows:,} rows" if is_broken else ""
    if not before:
        return ""
    change = (rows - before) / before * 100
    is_broken = (constraint.max_fall is not None and -change > constraint.max_fall) or (
        constraint.max_growth is not None and change > constraint.max_growth
    )
    return f"{before:,} rows, and then {rows:,} ({change:+.1f}%)" if is_broken else ""
