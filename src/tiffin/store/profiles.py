"""The verbs that look at the values of whole versions: profile, drift."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from tiffin import frames
from tiffin.errors import InvalidInputError
from tiffin.online import KeyCodec
from tiffin.quality.drift.answer import Drift
from tiffin.quality.drift.comparing import Data, compare
from tiffin.quality.drift.thresholds import Given, Thresholds
from tiffin.quality.profiles.profile import Profile
from tiffin.quality.profiles.profiling import profile
from tiffin.schema.evolution import called, other_names
from tiffin.schema.names import ONLINE, parse_reference
from tiffin.store.serve import Serving
from tiffin.store.train import Training
from tiffin.tables.state import State
from tiffin.tables.table import Selection, Table

MOST_ONLINE_ROWS = 50_000
"""Entities whose online rows are looked at."""


class Profiling(Serving, Training):
    """Methods of `FeatureStore` that look at the values of whole versions."""

    def profile(self, reference: str) -> Profile:
        """Tell what the values of a version look like: counts, extremes, quantiles, histograms, frequent values.

        The profile of a version is made once and kept in the store's folder; where that may not be written, it is
        made each time.

        Parameters
        ----------
        reference : str
            `group/name`, `group/name@3`, or one feature of it: `group/name:feature`.

        Returns
        -------
        Profile
            `.rows`, and of each column nulls, NaNs, distinct values, minimum, maximum, mean, standard deviation,
            quantiles, histogram, lengths and the most frequent values, as far as its type has them.

        Raises
        ------
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What was asked for is not there.
        CorruptData
            What is stored is not what was written.
        """
        parsed = parse_reference(reference)
        table, state = self._at(parsed, None, None)
        name = str(table.name)

        def make(columns: Sequence[str]) -> Profile:
            with table.reading(state):
                return profile(name, state.version, columns, self._column_of(table, state))

        if parsed.feature is None:
            found, columns = self._profiles.get_or_make(state, lambda: make(state.spec.names)), state.spec.names
        else:
            feature = other_names(state.spec, table.log.require().spec).get(parsed.feature, parsed.feature)
            columns = state.spec.check_features([feature], name)
            found = self._profiles.get(state) or make(columns)
        return msgspec.structs.replace(
            found,
            # A folder that was copied has the profiles of the table that it was copied from.
            table=name,
            stage=state.stage.name if state.stage else "",
            columns=tuple(each for each in found.columns if each.name in columns),
        )

    def drift(
        self,
        reference: str,
        baseline: int | datetime | str,
        current: Any = None,
        *,
        columns: Sequence[str] | None = None,
        thresholds: Given | None = None,
    ) -> Drift:
        """Tell whether what a table holds now, or what was served of it, is still like what it held.

        Parameters
        ----------
        reference : str
            `group/name`, or one feature of it: `group/name:feature`.
        baseline : int, datetime or str
            What to compare with: a version, the version that was the newest at a time, or a version's name.
        current : int, datetime, str or frame, optional
            What to compare: as for `baseline`; the newest version if left out; a frame with some of the features, such
            as those that were logged when they were served; or `"online"`, what the online index holds now, which is
            compared with the newest row of each entity of the baseline, as of when that was committed.
        columns : sequence of str, optional
            Which columns; all features if left out, or those that the frame has.
        thresholds : mapping of str to float or None, optional
            From where on a measure is drift, for all columns (`{"psi": 0.1}`) or one (`{"mean.psi": 0.1}`); None does
            not watch it. The defaults are those of `tiffin.quality.drift.thresholds.DEFAULTS`.

        Returns
        -------
        Drift
            `.drifted`, the verdict; `.reasons`, in words; `.columns`, each with its measures.

        Raises
        ------
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What was asked for is not there.
        NotOnline
            The table is not online.
        InvalidInputError
            There is nothing to compare, or a threshold is none.
        CorruptData
            What is stored is not what was written.
        """
        parsed = parse_reference(reference)
        if parsed.version is not None:
            raise InvalidInputError(
                f"{reference!r} names a version", hint="write the table alone: baseline and current choose the versions"
            )
        table, before = self._version(reference, baseline)
        if isinstance(columns, str):
            before.spec.check_features(columns, str(table.name))
        wanted = [parsed.feature] if parsed.feature is not None and columns is None else columns
        if current is None or isinstance(current, int | datetime) or (isinstance(current, str) and current != ONLINE):
            _, now = self._version(reference, current)
            with table.reading(before), table.reading(now):
                sides = self._data(table, before, now), self._data(table, now, now)
                return _compare(table, before, sides, None if wanted is None else _as_now(wanted, now), thresholds)
        now = table.log.require()
        if isinstance(current, str):
            names = _of_both(wanted, before, now, now.spec.features)
            return _compare(table, before, self._online_data(table, before, names), names, thresholds)
        given = frames.ingest(current).frame
        given = given.rename({name: now.spec.aliases.get(name, name) for name in given.columns})
        with table.reading(before):
            sides = self._data(table, before, now), _frame_data("the frame", None, given)
            return _compare(table, before, sides, _of_both(wanted, before, now, given.columns), thresholds)

    def _version(self, reference: str, which: int | datetime | str | None) -> tuple[Table, State]:
        """Find a version by its number, its time or its name."""
        parsed = parse_reference(reference)
        if isinstance(which, datetime):
            return self._at(parsed, None, which)
        if isinstance(which, bool) or not isinstance(which, int | str | None):
            raise InvalidInputError(f"{which!r} is no version", hint="give its number, its name or a time")
        return self._at(parsed, which, None)

    def _column_of(self, table: Table, state: State) -> Callable[[str], pl.Series]:
        """Return what reads a column of a version, past the memory cache: it would push out what is read often."""
        known = self._reader.known(state)

        def read(name: str) -> pl.Series:
            return (table.read(state, Selection(columns=[name])) if known is None else known)[name]

        return read

    def _data(self, table: Table, state: State, newer: State) -> Data:
        """Return a version with its columns called as another calls them."""
        names = called(state.spec, newer.spec)
        columns = {names.get(column, column): column for column in state.spec.names}
        read = self._column_of(table, state)
        name, version = _named(state)
        return Data(
            name=name,
            version=version,
            rows=len(read(state.spec.names[0])) if state.rows is None else state.rows,
            dtypes={name: state.spec.dtypes[column] for name, column in columns.items()},
            read=lambda name: read(columns[name]),
            is_whole=True,
        )

    def _online_data(self, table: Table, before: State, features: Sequence[str]) -> tuple[Data, Data]:
        """Return the newest row of each entity, of a version and of the online index."""
        plan = self.prepare([f"{table.name}:{feature}" for feature in features])
        state = table.log.require()
        entity = state.spec.entity
        if not entity:
            raise InvalidInputError(
                f"table {table.name} has no entity, so its online row is one", hint="compare two versions instead"
            )
        index = self._materializer.index
        codec = KeyCodec({name: state.spec.dtypes[name] for name in entity})
        keys = index.keys(state.metadata.id, MOST_ONLINE_ROWS)
        rows = [dict(zip(entity, key, strict=True)) for key in map(codec.decode, keys) if key is not None]
        answer = plan.read(rows)
        count = index.count(state.metadata.id)
        some = f", {len(rows):,} of {count:,} entities" if count > len(rows) else ""
        return (
            _frame_data(*_named(before), self._newest_rows(table, before, features)),
            _frame_data(f"the online index{some}", answer.versions[str(table.name)], answer.to_polars()),
        )

    def _newest_rows(self, table: Table, state: State, features: Sequence[str]) -> pl.DataFrame:
        """Return the newest row of each entity, as online answers were when the version was the newest one."""
        spec = state.spec
        spine = table.read(state, Selection(columns=spec.entity)).drop_nulls().unique()
        if spec.timestamp:
            then = datetime.fromtimestamp(state.timestamp / 1000, UTC)
            spine = spine.with_columns(pl.lit(then).alias(spec.timestamp))
        asked = [f"{table.name}@{state.pin}:{name}" for name in features]
        return self.get_historical_features(spine, asked, timestamp=spec.timestamp).to_polars()


def _named(state: State) -> tuple[str, int | None]:
    return (f"stage {state.pin}", None) if state.stage else (f"version {state.version}", state.version)


def _frame_data(name: str, version: int | None, frame: pl.DataFrame) -> Data:
    return Data(name, version, frame.height, frame.schema, frame.get_column, is_whole=False)


def _as_now(names: Sequence[str], now: State) -> list[str]:
    """Call columns as they are called now."""
    return [now.spec.aliases.get(name, name) for name in names]


def _of_both(wanted: Sequence[str] | None, before: State, now: State, names: Sequence[str]) -> list[str]:
    """Choose columns that the table and what is compared with it both have, called as they are now."""
    since = called(before.spec, now.spec)
    if wanted is None:
        wanted = [name for name in (since.get(feature, feature) for feature in before.spec.features) if name in names]
    wanted, known = _as_now(wanted, now), {since.get(name, name) for name in before.spec.names}
    before.spec.check_features([name for name in wanted if name not in known], before.table)
    missing = [name for name in wanted if name not in names]
    if missing or not wanted:
        lacks = f"no column {missing[0]!r}" if missing else "none of its features"
        raise InvalidInputError(
            f"what is compared with table {before.table} has {lacks}",
            hint=f"its features are {', '.join(before.spec.features)}",
        )
    return wanted


def _compare(
    table: Table, before: State, sides: tuple[Data, Data], wanted: Sequence[str] | None, thresholds: Given | None
) -> Drift:
    baseline, current = sides
    if not current.is_whole and not current.rows:
        raise InvalidInputError(f"{current.name} has no rows", hint="there is nothing to compare")
    keys = {*before.spec.entity, before.spec.timestamp, before.spec.created}
    if wanted is None:
        wanted = [name for name in dict.fromkeys([*baseline.dtypes, *current.dtypes]) if name not in keys]
    else:
        known = {**baseline.dtypes, **current.dtypes}
        missing = [name for name in wanted if name not in known]
        if missing:
            before.spec.check_features(missing, before.table)
        if not wanted:
            raise InvalidInputError("no column is named", hint="name those to compare, or none for all (columns=None)")
        wanted = list(dict.fromkeys(wanted))
    return compare(str(table.name), baseline, current, wanted, Thresholds(thresholds or {}, wanted))
