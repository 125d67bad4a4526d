"""Reads of tables as answers: which rows, of which version, and how many there are in all."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from tiffin.errors import TableNotFound, TooLarge, VersionNotFound
from tiffin.frames import FeatureFrame
from tiffin.frames.texts import as_known
from tiffin.server.answers import forms
from tiffin.server.answers.forms import Rows
from tiffin.server.requests.parameters import moment
from tiffin.wire.media import CSV, JSON

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.responses import Response

    from tiffin.server.answers.forms import Form
    from tiffin.server.requests.call import Call
    from tiffin.server.requests.parameters import Page, Question
    from tiffin.store import FeatureStore
    from tiffin.store.read import Snapshot

PAGE_ROWS = 10_000
"""Rows of a JSON answer where no limit is given."""

_ATTEMPTS = 5
_MOST_COMPARISONS = 200


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table."""

    table: str
    version: int | str | None = None
    as_of: str | None = None
    feature: str | None = None
    columns: tuple[str, ...] | None = None
    where: list[Any] | None = None
    entities: list[Any] | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def is_part(self) -> bool:
        """Whether only some of the rows are meant, before pages are made of them."""
        return self.where is not None or self.entities is not None


def asked_of(table: str, asked: Page | Question) -> Asked:
    """Put what a request asks of a table in one form."""
    given = {name: value for name, value in asked.given_as_is().items() if name in Asked.__struct_fields__}
    return msgspec.convert({"table": table, **given}, Asked)


async def answer(call: Call, form: Form, asked: Asked) -> Response:
    """Answer with rows of a table, or that the caller has them already.

    Parameters
    ----------
    call : Call
        The request.
    form : Form
        How the rows are answered.
    asked : Asked
        Which rows.

    Returns
    -------
    Response

    Raises
    ------
    TooLarge
        More rows are asked for than one answer may hold.
    """
    if len(asked.entities or ()) > call.limits.rows_per_request:
        raise TooLarge(
            f"{len(asked.entities or ()):,} entities are asked about; {call.limits.rows_per_request:,} may be at once",
            hint="ask in several requests",
        )
    _check_where(asked.where, call.limits.rows_per_request)
    asked = _bounded(asked, form, call.limits.rows_per_answer)
    as_of = None if asked.as_of is None else moment(asked.as_of)
    for attempt in range(_ATTEMPTS):
        snapshot = await _find(call, asked, as_of)
        # The same version answers the same for ever, however it was asked for.
        same = msgspec.structs.replace(asked, version=None, as_of=None)
        about = (snapshot.mark, same)
        try:
            return await forms.rows(call, form, functools.partial(read, call.store, snapshot, asked), about)
        except (VersionNotFound, TableNotFound):
            # Replaced and vacuumed, or dropped, since it was found: then look again, unless this one was asked for.
            if isinstance(asked.version, int) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _find(call: Call, asked: Asked, as_of: datetime | None) -> Snapshot:
    known = call.store.glance(asked.table) if asked.version is None and as_of is None else None
    if known is not None:
        return known
    return await call.run(call.store.snapshot, asked.table, version=asked.version, as_of=as_of)


def read(store: FeatureStore, snapshot: Snapshot, asked: Asked) -> Rows:
    """Read rows of a version, and count those that they are a page of.

    Returns
    -------
    Rows

    Raises
    ------
    TableNotFound, VersionNotFound
        It is gone since it was found, or another has taken its place.
    """
    rows = _read(store, snapshot, asked)
    if store.snapshot(snapshot.reference).mark != snapshot.mark:
        raise TableNotFound(f"table {snapshot.table} was replaced while it was read", table=snapshot.table)
    return rows


def _read(store: FeatureStore, snapshot: Snapshot, asked: Asked) -> Rows:
    selection = {"where": asked.where, "entities": _keys(asked.entities, snapshot)}
    reference = snapshot.reference if asked.feature is None else f"{snapshot.reference}:{asked.feature}"
    rows = None if asked.is_part else snapshot.rows
    # A whole version is kept in memory for the next caller, a page is not.
    is_whole = rows is not None and not asked.offset and (asked.limit is None or asked.limit >= rows)
    limit = None if is_whole else asked.limit
    frame = store.read(reference, columns=asked.columns, **selection, limit=limit, offset=asked.offset)
    if rows is not None:
        return Rows(frame, rows)
    is_last = limit is None or len(frame) < limit
    if is_last and (len(frame) or not asked.offset):
        return Rows(frame, asked.offset + len(frame))
    counted = store.read(snapshot.reference, columns=[next(iter(snapshot.dtypes))], **selection)
    return Rows(frame, len(counted))


def page(frame: FeatureFrame, form: Form, limit: int | None, offset: int) -> Rows:
    """Take a page of rows that were read whole."""
    least = PAGE_ROWS if limit is None and form.media == JSON else limit
    rows = frame.to_polars()[min(offset, len(frame)) :]
    return Rows(FeatureFrame(rows if least is None else rows.head(min(least, len(rows)))), len(frame))


def _check_where(where: list[Any] | None, most_values: int) -> None:
    """Refuse comparisons that keep a thread busy for minutes, which nothing can stop."""
    lists = [one for one in where or () if isinstance(one, list)]
    comparisons = [one for one in lists if one and isinstance(one[0], str)]
    comparisons += [each for one in lists if not (one and isinstance(one[0], str)) for each in one]
    if len(comparisons) > _MOST_COMPARISONS:
        raise TooLarge(
            f"where has {len(comparisons):,} comparisons; {_MOST_COMPARISONS:,} may be in one request",
            hint='compare with several values at once: ["column", "in", [value, …]]',
        )
    values = sum(len(part) for one in comparisons if isinstance(one, list) for part in one if isinstance(part, list))
    if values > most_values:
        raise TooLarge(f"where has {values:,} values; {most_values:,} may be in one request", hint="ask several times")


def _bounded(asked: Asked, form: Form, most: int) -> Asked:
    if form.media not in {JSON, CSV}:
        return asked
    if asked.limit is None and form.media == JSON:
        return msgspec.structs.replace(asked, limit=min(PAGE_ROWS, most))
    if asked.limit is not None and asked.limit > most:
        raise TooLarge(
            f"limit is {asked.limit:,}; as JSON or CSV at most {most:,} rows are given at once",
            hint="ask for pages (limit, offset), or accept Arrow or Parquet",
        )
    return asked


def _keys(entities: list[Any] | None, snapshot: Snapshot) -> Any:
    """Read keys that JSON has no form for, times among them, from their texts."""
    dtypes = [snapshot.dtypes[name] for name in snapshot.entity]
    if entities is None or not any(_stands_as_text(dtype) for dtype in dtypes):
        return entities
    rows = [row for entity in entities if (row := _key(entity, snapshot.entity)) is not None]
    if len(rows) < len(entities):
        # The store says which of them is no key.
        return entities
    columns = {name: [row[place] for row in rows] for place, name in enumerate(snapshot.entity)}
    return pl.DataFrame(
        [
            as_known(pl.Series(name, values, strict=False), dtype)
            for (name, values), dtype in zip(columns.items(), dtypes, strict=True)
        ]
    )


def _key(entity: Any, names: tuple[str, ...]) -> tuple[Any, ...] | None:
    if isinstance(entity, Mapping):
        return tuple(entity[name] for name in names) if set(names) <= set(entity) else None
    values = entity if isinstance(entity, list) else [entity]
    return tuple(values) if len(values) == len(names) else None


def _stands_as_text(dtype: pl.DataType) -> bool:
    return dtype.is_temporal() or dtype.is_decimal() or dtype == pl.Binary
