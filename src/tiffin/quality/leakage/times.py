"""Checks of when the rows that were found became true, were made and were committed, against the label's time."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from tiffin.quality.leakage.lookup import Lookup, at_version, moment, newest
from tiffin.quality.leakage.report import MOST_NAMED, LeakageFinding
from tiffin.schema.compatibility import common_dtype
from tiffin.schema.table import TableSpec

_VERSIONS, _ROWS_OF_VERSION = 8, 2000
"""How many older versions are held against the newest, and in how many rows each."""


def check_times(lookup: Lookup, same_time: float, seed: int) -> Iterator[LeakageFinding]:
    """Find what is later than the label's time, or suspiciously equal to it.

    Parameters
    ----------
    lookup : Lookup
        Features as of the label's times, which are known.
    same_time : float
        From which share of equal times on they are suspicious.
    seed : int
        Chooses the rows in which versions are compared.

    Yields
    ------
    LeakageFinding
    """
    labels = lookup.labelled.moments
    assert labels is not None
    spec = lookup.one.state.spec
    if lookup.created is not None:
        yield from _made_later(lookup, labels, lookup.created)
    elif spec.timestamp:
        yield from _committed_later(lookup, labels, seed)
    else:
        yield from _looked_up_later(lookup, labels)
    if lookup.timestamps is not None:
        yield from _same_time(lookup, labels, lookup.timestamps, same_time)
        yield from _newest(lookup, labels)


def _looked_up_later(lookup: Lookup, labels: pl.Series) -> Iterator[LeakageFinding]:
    """Of a table without times, a lookup sees the state of its version, whenever that was committed."""
    state, known = lookup.one.state, lookup.labelled.known
    committed = moment(state.timestamp)
    seen = pl.select(pl.min_horizontal(pl.lit(committed), *([] if known is None else [known]))).to_series()
    late = _true(lookup.found & (seen > labels))
    if late.any():
        yield lookup.finding(
            "lookup_sees_later",
            "warning",
            late,
            what=(
                f"the table has no timestamp, so each row gets the features of version {state.version}, committed "
                f"{_clock(committed)}: after the label's time in {_of(late, lookup.height)}"
            ),
            advice=(
                "save with the features when they became true (timestamp=…, --timestamp), or pass known_at "
                "(--known-at), which looks them up in the version that was there then"
            ),
        )


def _made_later(lookup: Lookup, labels: pl.Series, created: pl.Series) -> Iterator[LeakageFinding]:
    late = _true(created > labels)
    if late.any():
        yield lookup.finding(
            "known_later",
            "warning",
            late,
            what=(
                f"in {_of(late, lookup.height)} the features were made ({lookup.one.state.spec.created}) after the "
                "label's time: they were not known then"
            ),
            advice=f"pass known_at={lookup.labelled.time!r} (--known-at), which ignores what was made later",
            shown={"created": created},
        )


def _committed_later(lookup: Lookup, labels: pl.Series, seed: int) -> Iterator[LeakageFinding]:
    """Where rows do not say when they were made, the commits tell which values were there at the label's time."""
    log = lookup.one.table.log
    oldest = log.oldest()
    first = moment(log.read_commit(oldest).info.timestamp)
    before = _true(lookup.found & (labels < first))
    if before.any():
        yield lookup.finding(
            "imported_later",
            "note",
            before,
            what=(
                f"in {_of(before, lookup.height)} the label's time is before the oldest version of the table "
                f"({oldest}, committed {_clock(first)}): it cannot tell what was known then"
            ),
            advice="if rows can be late or corrected, save when each was made (created=…, --created) and pass known_at "
            "(--known-at)",
        )
    yield from _revised(lookup, labels, _true(labels >= first), seed)


def _revised(lookup: Lookup, labels: pl.Series, after: pl.Series, seed: int) -> Iterator[LeakageFinding]:
    """Look some of the rows after the first version up again, in the versions of their label's times."""
    looked_at, changed = [], []
    for version, chosen in _in_versions(lookup, labels, after, seed):
        then = at_version(lookup, lookup.one.table.log.at(version), chosen)
        now = lookup.features[chosen]
        changed.append(_differences(now, then))
        looked_at.append(chosen)
    if not changed:
        return
    differs, rows = pl.concat(changed), pl.concat(looked_at)
    by_feature = _counts(differs)
    if by_feature:
        late = lookup.mask(rows.filter(_any(differs)))
        yield lookup.finding(
            "known_later",
            "warning",
            late,
            what=(
                f"in {_of(late, len(rows))} that were looked at, the values were committed after the label's time: "
                "other values, or none, were known then"
            ),
            advice=f"pass known_at={lookup.labelled.time!r} (--known-at), which ignores what was committed later",
            shown={name: lookup.features[name] for name in list(by_feature)[:MOST_NAMED]},
            share=int(late.sum()) / len(rows),
            features=tuple(by_feature),
            by_feature=by_feature,
        )


def _in_versions(lookup: Lookup, labels: pl.Series, after: pl.Series, seed: int) -> Iterator[tuple[int, pl.Series]]:
    """Choose a few versions that were the newest at labels' times, and some rows whose labels are of that time."""
    table, newest_version = lookup.one.table, lookup.one.state.version
    times_ms = labels.to_physical() // 1000
    ordered = times_ms.filter(after).sort()
    if not len(ordered):
        return
    picked = {int(ordered[len(ordered) * place // _VERSIONS]) for place in range(_VERSIONS)}
    spec = lookup.one.state.spec
    for version in sorted({table.log.at_time(time_ms).version for time_ms in picked}):
        if version >= newest_version:
            continue
        if not _same_keys(table.log.at(version).spec, spec):
            continue
        since, until = (table.log.read_commit(one).info.timestamp for one in (version, version + 1))
        places = (after & times_ms.is_between(since, until, closed="left")).arg_true().cast(pl.Int64)
        yield version, places.sample(min(len(places), _ROWS_OF_VERSION), seed=seed)


def _same_keys(old: TableSpec, new: TableSpec) -> bool:
    """Tell whether rows are looked up by the same columns."""
    if (old.entity, old.timestamp) != (new.entity, new.timestamp):
        return False
    return all(common_dtype(old.dtypes[name], new.dtypes[name]) is not None for name in new.row_key)


def _same_time(lookup: Lookup, labels: pl.Series, timestamps: pl.Series, limit: float) -> Iterator[LeakageFinding]:
    equal = _true((timestamps == labels) & lookup.labelled.is_whole)
    comparable = int((timestamps.is_not_null() & labels.is_not_null()).sum())
    if comparable and int(equal.sum()) / comparable >= limit:
        yield lookup.finding(
            "same_time",
            "warning",
            equal,
            what=(
                f"in {_of(equal, comparable)} with features, they have exactly the label's time: they may be made from "
                "the very event that the label is about"
            ),
            advice="make the features of what was before the event only, or give them the time after it",
            shown={"timestamp": timestamps},
            share=int(equal.sum()) / comparable,
        )


def _newest(lookup: Lookup, labels: pl.Series) -> Iterator[LeakageFinding]:
    """Tell what a join with the newest rows would have leaked."""
    values, timestamps = newest(lookup)
    later = _true(timestamps > labels)
    if later.any():
        yield lookup.finding(
            "later_rows",
            "note",
            later,
            what=(
                f"in {_of(later, lookup.height)} newer rows of the entity are in the table; this training frame "
                "does not use them"
            ),
            advice="never join the newest rows to labels, as a plain merge does",
            shown={"newest_timestamp": timestamps},
        )
    differs = _differences(lookup.features, values)
    by_feature = _counts(differs)
    if by_feature:
        mask = _any(differs)
        yield lookup.finding(
            "naive_join",
            "note",
            mask,
            what=f"a join with the newest rows would give other values in {_of(mask, lookup.height)}: "
            f"{_named(by_feature)}",
            advice="do not compare with models trained on such a join: they have seen values that they will not have",
            shown=_both(lookup.features, values, list(by_feature)[:MOST_NAMED]),
            features=tuple(by_feature),
            by_feature=by_feature,
        )


def _true(mask: pl.Series) -> pl.Series:
    """Take what is not known for no."""
    return mask.fill_null(False)


def _both(as_of: pl.DataFrame, newest: pl.DataFrame, names: list[str]) -> dict[str, pl.Series]:
    return {name: as_of[name] for name in names} | {f"newest_{name}": newest[name] for name in names}


def _differences(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Tell for each value whether it differs; two that are missing do not."""
    return first.select(first[name].ne_missing(second[name]).alias(name) for name in first.columns)


def _any(masks: pl.DataFrame) -> pl.Series:
    return masks.select(pl.any_horizontal(pl.all())).to_series()


def _counts(differs: pl.DataFrame) -> dict[str, int]:
    """Count by feature the rows that differ, the most first; without features in which none does."""
    counts = {name: int(differs[name].sum()) for name in differs.columns}
    return dict(sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: -pair[1]))


def _named(by_feature: dict[str, int]) -> str:
    named = [f"{name} in {count:,}" for name, count in list(by_feature.items())[:MOST_NAMED]]
    more = len(by_feature) - len(named)
    return ", ".join(named) + (f" and {more} more features" if more else "")


def _of(mask: pl.Series, rows: int) -> str:
    return f"{int(mask.sum()):,} of {rows:,} rows"


def _clock(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
