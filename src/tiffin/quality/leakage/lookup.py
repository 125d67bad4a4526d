"""The features of one table looked up for labelled rows, and when the rows that were found became true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import polars as pl

from tiffin.features import Wanted
from tiffin.quality.leakage.report import LeakageFinding, Severity
from tiffin.reading import Reader
from tiffin.schema.compatibility import common_dtype
from tiffin.schema.dtypes import python_rows
from tiffin.schema.evolution import column_of
from tiffin.tables.state import State
from tiffin.training import joining
from tiffin.training.spine import Spine
from tiffin.training.units import time_limits

_MOMENT = pl.Datetime("us", "UTC")
_END_OF_TIME = pl.datetime(9999, 12, 31, 23, 59, 59, 999_999, time_zone="UTC")
_ALL_TIME = timedelta(days=9999 * 366)
_EXAMPLES = 3


@dataclass(frozen=True)
class Labelled:
    """Labelled rows, and how features are looked up for them."""

    spine: Spine
    label: str
    time: str | None
    """The column of the label's times; None if there is none."""
    ttl: timedelta | None
    reader: Reader

    @property
    def moments(self) -> pl.Series | None:
        """The label's times in whole microseconds: a row of a table is later than a time if it is later than this."""
        return None if self.time is None else moments(self.spine.frame[self.time])

    @property
    def is_whole(self) -> pl.Series:
        """Whether the label's times are whole microseconds: finer ones equal none that a table can hold."""
        times = None if self.time is None else self.spine.frame[self.time]
        if times is None or not isinstance(times.dtype, pl.Datetime) or times.dtype.time_unit != "ns":
            return pl.repeat(True, self.spine.frame.height, eager=True)
        return times.to_physical() % 1000 == 0

    @property
    def known(self) -> pl.Series | None:
        """After when nothing is known, for each row."""
        known = self.spine.known
        if isinstance(known, datetime):
            return pl.repeat(known, self.spine.frame.height, dtype=_MOMENT, eager=True)
        return None if known is None else moments(known)


@dataclass(frozen=True)
class Lookup:
    """The features of one table as of the label's times."""

    labelled: Labelled
    one: Wanted
    features: pl.DataFrame
    """Shape (rows of the spine, features)."""
    found: pl.Series
    """Whether a row was found."""
    timestamps: pl.Series | None
    """Of the rows that were found; None for a table without."""
    created: pl.Series | None
    """When they were made, if the table declares it."""

    @property
    def height(self) -> int:
        """How many labelled rows there are."""
        return self.features.height

    def mask(self, places: pl.Series) -> pl.Series:
        """Mark the labelled rows at some places."""
        return pl.repeat(False, self.height, eager=True).scatter(places, True)

    def finding(
        self,
        check: str,
        severity: Severity,
        mask: pl.Series,
        *,
        what: str,
        advice: str,
        shown: Mapping[str, pl.Series] = MappingProxyType({}),
        **more: Any,
    ) -> LeakageFinding:
        """Make the finding of a check.

        Parameters
        ----------
        check, severity, what, advice
            As in LeakageFinding.
        mask : Series of bool
            The rows concerned.
        shown : mapping of str to Series, optional
            What the examples show beside keys, label and time.
        **more : object
            Further fields of LeakageFinding; `share` is of all rows unless it is given.
        """
        spec, labelled = self.one.state.spec, self.labelled
        names = dict.fromkeys([*spec.entity, *([labelled.time] if labelled.time else []), labelled.label])
        examples = labelled.spine.frame.select(*names).with_columns(**shown).filter(mask)
        rows = int(mask.sum())
        fields = {"share": rows / self.height, **more}
        return LeakageFinding(
            check=check,
            severity=severity,
            table=str(self.one.table.name),
            rows=rows,
            what=what,
            advice=advice,
            examples=tuple(python_rows(examples.head(_EXAMPLES))),
            **fields,
        )


def look_up(labelled: Labelled, one: Wanted) -> Lookup:
    """Look up the features of a table as of the label's times."""
    spec, spine = one.state.spec, labelled.spine
    extra = [spec.created] if spec.created else []
    joined = joining.join(
        one.table,
        one.state,
        [*one.features, *extra],
        spine.frame.select(spec.entity),
        spine.times if spec.timestamp else None,
        ttl=labelled.ttl,
        known=spine.known,
        reader=labelled.reader,
        with_time=bool(spec.timestamp),
    )
    features = joined.select(one.features)
    timestamps = moments(joined[joining.TIME]) if spec.timestamp else None
    return Lookup(
        labelled=labelled,
        one=one,
        features=features,
        found=features.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        if timestamps is None
        else timestamps.is_not_null(),
        timestamps=timestamps,
        created=moments(joined[spec.created]) if spec.created else None,
    )


def newest(lookup: Lookup) -> tuple[pl.DataFrame, pl.Series]:
    """Look up the newest row of each entity, as a join that knows no time would.

    Returns
    -------
    tuple of DataFrame and Series
        The features, and the timestamps of the rows.
    """
    one, spine = lookup.one, lookup.labelled.spine
    joined = joining.join(
        one.table,
        one.state,
        one.features,
        spine.frame.select(one.state.spec.entity),
        spine.frame.select(pl.repeat(_END_OF_TIME, pl.len())).to_series(),
        ttl=_ALL_TIME,
        known=None,
        reader=lookup.labelled.reader,
        with_time=True,
    )
    return joined.select(one.features), moments(joined[joining.TIME])


def at_version(lookup: Lookup, state: State, rows: pl.Series) -> pl.DataFrame:
    """Look up the features of some labelled rows in an older version; what it lacks, or has of another type, is null.

    Parameters
    ----------
    lookup : Lookup
        The same in the version asked for.
    state : State
        The older version; its keys are the same.
    rows : Series of int, shape (k,)
        Which rows of the spine.

    Returns
    -------
    DataFrame, shape (k, features)
        In the dtypes of the version asked for.
    """
    one, spine = lookup.one, lookup.labelled.spine
    old, now = state.spec.dtypes, lookup.features.schema
    called = {name: column_of(state.spec, name, one.state.spec) for name in now}
    there = {name: then for name, then in called.items() if then and common_dtype(old[then], now[name]) is not None}
    joined = joining.join(
        one.table,
        state,
        [*there.values()],
        spine.frame[rows].select(state.spec.entity),
        spine.times[rows] if spine.times is not None else None,
        ttl=lookup.labelled.ttl,
        known=None,
        reader=lookup.labelled.reader,
    )
    absent = {name: pl.repeat(None, len(rows), dtype=now[name], eager=True) for name in now if name not in there}
    return pl.DataFrame(
        {name: absent[name] if name in absent else joined[there[name]].cast(now[name], strict=False) for name in now}
    )


def moments(times: pl.Series) -> pl.Series:
    """Bring times to whole microseconds in UTC, rounded down: a date is its midnight, one without a zone is UTC."""
    return time_limits(times, f"column {times.name!r}")[0].cast(_MOMENT)


def moment(time_ms: int) -> datetime:
    """Give a time of commit, milliseconds since 1970-01-01 UTC, as a datetime."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)
