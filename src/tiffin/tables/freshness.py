"""How fresh a table is, from the statistics of its files: no row is read (pure)."""

from __future__ import annotations

from datetime import UTC, datetime

from tiffin.schema.constraints.kinds import Fresh
from tiffin.schema.table import TableSpec
from tiffin.tables.state import State


def newest_event(state: State) -> datetime | None:
    """Find the newest timestamp of a version's rows.

    Parameters
    ----------
    state : State
        The version.

    Returns
    -------
    datetime or None
        UTC; None if there is no timestamp or no row, or a file says nothing of it: only of keys are bounds kept, and
        other writers may keep none.
    """
    name, newest = state.spec.timestamp, None
    if name is None:
        return None
    for add in state.files.values():
        known = add.known
        if name in known.max_values:
            moment = _moment(known.max_values[name])
            if moment is None:
                return None
            newest = moment if newest is None else max(newest, moment)
        elif known.num_records != known.null_count.get(name, 0):
            return None
    return newest


def _moment(written: object) -> datetime | None:
    """Read a bound as Delta writes it: a time or a date."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_stale(spec: TableSpec, newest: datetime | None, now: datetime) -> bool:
    """Tell whether a table's newest row is too old: by the ttl no longer true, or by a constraint not fresh."""
    limits = [each.max_age for each in spec.constraints if isinstance(each, Fresh) and _is_about_events(each, spec)]
    return newest is not None and any(limit is not None and now - newest > limit for limit in [spec.ttl, *limits])


def _is_about_events(constraint: Fresh, spec: TableSpec) -> bool:
    return constraint.column in {"", spec.timestamp}
