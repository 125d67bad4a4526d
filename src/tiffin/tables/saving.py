"""Saving: from a frame to the next version of a table.

Data files are written before the commit, outside its lock, so that writers do not wait for one another's Parquet.
What depends on the rows that are there (an upsert, a wider type) is worked out under the lock instead, where nothing
can change meanwhile. A save that was overtaken fits itself to the new version; only a save that names the version it
expects gives way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import polars as pl

from tiffin.errors import (
    CommitConflict,
    ConstraintViolated,
    InvalidInputError,
    OutcomeUnknown,
    SchemaMismatch,
    TableNotFound,
    TiffinError,
    VersionNotFound,
)
from tiffin.schema import dtypes
from tiffin.schema.compatibility import Mode, align, fit, widened
from tiffin.schema.table import Column, Declaration, TableSpec, check, check_declaration, declare, in_names
from tiffin.tables import datafiles, quarantine
from tiffin.tables.actions import (
    POSITION,
    Add,
)
from tiffin.tables.checking import Standing
from tiffin.tables.judging import Judgement, OnViolation, judge, still_fits
from tiffin.tables.publishing import Change, Note, Put, publish
from tiffin.tables.state import State, at_their_places
from tiffin.tables.table import Commit, Table

_ATTEMPTS = 50
_FLOAT32_MAX = 3.4028234663852886e38


@dataclass(frozen=True)
class Save:
    """A save as it was asked for."""

    frame: pl.DataFrame
    columns: Sequence[Column]
    declared: Declaration = field(default_factory=Declaration)
    mode: Mode = "overwrite"
    evolve: bool = False
    expected_version: int | None = None
    """The version the caller has seen; -1 for "there is no table yet"."""
    note: Note = field(default_factory=Note)
    on_violation: OnViolation = "refuse"
    put: Put | None = None
    """What is done with the change that comes of it, instead of making it the next version."""


def save(table: Table, before: State | None, request: Save) -> Commit:
    """Commit a frame as the next version of a table.

    Parameters
    ----------
    table : Table
        The table; it need not exist yet.
    before : State or None
        Its newest version, as the caller has just found it.
    request : Save
        What to save, and how.

    Returns
    -------
    Commit

        Of a save that was tried before and has landed, the one that it made then.

    Raises
    ------
    SchemaMismatch, InvalidInputError
        The frame cannot be saved as asked.
    ConflictError
        It bears the name of another save.
    CommitConflict
        The table is not at the expected version, or other writers never let this one through.
    StorageError
        The disk refused. In all these cases the table is as it was.
    OutcomeUnknown
        The version is there, but whether it survives a power loss is not known.
    """
    check_declaration(request.declared, str(table.name))
    for _ in range(_ATTEMPTS):
        if (landed := _landed(table, before, request)) is not None:
            return landed
        # What cannot be saved is refused here, before a folder is made.
        asked = prepared(table, before, request)
        # Not found: another process dropped the table meanwhile, or vacuumed the version. Its folders are made again.
        with contextlib.suppress(TableNotFound, VersionNotFound):
            commit = _commit(table, checked(table, before, *asked))
            if commit is not None:
                return commit
        before = table.log.latest()
    raise CommitConflict(
        f"table {table.name} changed {_ATTEMPTS} times while this save was prepared",
        hint="try again when it is quieter",
    )


def prepared(table: Table, before: State | None, request: Save) -> tuple[Save, TableSpec, pl.DataFrame]:
    """Prepare a save for the version before it, if the frame can be saved as asked; raises as `save` does.

    Returns
    -------
    tuple of Save, TableSpec and DataFrame
        The save in the table's own names, what the table declares after it, and the frame as it is stored.
    """
    _check_expected(table, before, request)
    _check_not_derived(before)
    request = in_current_names(table, before, request)
    spec = _spec(table, before, request)
    return request, spec, _stored(table, request, spec)


def standing(table: Table, before: State | None, request: Save, spec: TableSpec, stored: pl.DataFrame) -> Standing:
    """Tell which rows stay when a save brings others, for those who check them together."""
    keys = stored.select(spec.row_key) if request.mode == "upsert" else stored.clear()
    return Standing(table, before, spec, request.mode, keys, before.rows if before else None)


@dataclass(frozen=True)
class Ready:
    """A save whose rows have been checked."""

    request: Save
    before: State | None
    """The version that it was prepared for."""
    spec: TableSpec
    stored: pl.DataFrame
    judged: Judgement | None
    """What was found; None if the table has no constraints."""

    def put(self, table: Table, now: State | None, change: Change) -> Commit | None:
        """Commit a change, under the table's lock; None if it would break a constraint by what came in between."""
        if self.judged is None:
            return self._put(table, now, change, self.request.note)
        is_overtaken = (now and now.version) != (self.before and self.before.version)
        if is_overtaken and not still_fits(self.judged, standing(table, now, self.request, self.spec, self.stored)):
            return None
        note, apart = self.request.note, self.judged.apart
        if apart is not None:
            file = quarantine.write(table, now.version + 1 if now else 0, apart)
            note = replace(note, quarantine=file, quarantined=apart.height)
        try:
            commit = self._put(table, now, change, note)
        except OutcomeUnknown:
            raise
        except (TiffinError, FileExistsError):
            quarantine.discard(table, note.quarantine)
            raise
        return msgspec.structs.replace(commit, warnings=(*commit.warnings, *self.judged.warnings))

    def _put(self, table: Table, now: State | None, change: Change, note: Note) -> Commit:
        return (self.request.put or publish)(table, now, change, self.request.mode, note)


def checked(table: Table, before: State | None, request: Save, spec: TableSpec, stored: pl.DataFrame) -> Ready:
    """Check the rows of a save by the table's constraints; only good ones are left.

    Raises
    ------
    ConstraintViolated
        Some are not good, and not to be kept apart.
    """
    judged = None
    if request.mode == "upsert":
        _check_entity(spec, str(table.name))
    if spec.constraints:
        rows = align(request.frame, spec, str(table.name))
        others = standing(table, before, request, spec, stored)
        with table.reading(before) if before is not None and others.is_asked else contextlib.nullcontext():
            judged = judge(rows, others, request.on_violation)
        if judged.apart is not None:
            request = replace(request, frame=judged.frame)
            stored = _stored(table, request, spec)
    if request.mode == "upsert":
        _check_keys(stored, spec, str(table.name))
    return Ready(request, before, spec, stored, judged)


def _commit(table: Table, ready: Ready) -> Commit | None:
    """Commit what was prepared; None if others came in between so that it must be prepared anew."""
    request, before, spec = ready.request, ready.before, ready.spec
    table.prepare(before)
    with table.log.writing():
        wider = request.mode == "append" and before is not None and widened(before.spec, spec)
        if wider or request.mode == "upsert":
            return _rewrite(table, ready)
        return _write(table, ready, _sorted(ready.stored, spec))


def narrow(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Narrow 64-bit floats to 32 bits: half the size, about seven digits.

    Returns
    -------
    tuple of DataFrame, tuple of str
        The frame, and which columns were narrowed.

    Raises
    ------
    InvalidInputError
        A finite value is too large for 32 bits.
    """
    names = tuple(name for name, dtype in frame.schema.items() if dtype == pl.Float64)
    for name in names:
        large = (frame[name].is_finite() & (frame[name].abs() > _FLOAT32_MAX)).arg_true()
        if len(large):
            raise InvalidInputError(
                f"column {name!r} holds {frame[name][large[0]]!r} in row {large[0]}, too large for a 32-bit float",
                hint="save in exact dtypes (without dtypes='compact', --compact-dtypes)",
            )
    return frame.with_columns(pl.col(names).cast(pl.Float32)) if names else frame, names


def _landed(table: Table, now: State | None, request: Save) -> Commit | None:
    """Return the commit that this very save has made already, if it has been tried before."""
    version = table.landed.find(request.note.once, now)
    return None if version is None else table.describe_entry(version, table.log.read_commit(version))


def _check_expected(table: Table, now: State | None, request: Save) -> None:
    found, stands = (now.version, f"is at version {now.version}") if now else (-1, "does not exist")
    if request.expected_version is not None and request.expected_version != found:
        raise CommitConflict(
            f"table {table.name} {stands}; version {request.expected_version} was expected",
            hint="read the table again and decide what to do with the other writer's version",
            found=found,
            expected=request.expected_version,
        )


def _check_not_derived(before: State | None) -> None:
    derivation = before.spec.derivation if before else None
    if before and derivation:
        source = derivation.definition.source
        raise InvalidInputError(
            f"the rows of table {before.table} are derived from table {source}",
            hint=f"save to {source}, and refresh: store.refresh({before.table!r}), "
            f"tiffin derive refresh {before.table}",
        )


def in_current_names(table: Table, before: State | None, request: Save) -> Save:
    """Call columns as the table does, where the frame still calls them what they were called before."""
    aliases = before.spec.aliases if before else {}
    if not aliases:
        return request
    names = {name: aliases[name] for name in request.frame.columns if name in aliases}
    for old, name in names.items():
        if name in request.frame.columns:
            raise SchemaMismatch(
                f"the frame has a column {old!r} and a column {name!r}, which are one in table {table.name}",
                hint=f"{old!r} was renamed to {name!r}: leave one of them out",
            )
    narrowed = tuple(names.get(name, name) for name in request.note.narrowed)
    return replace(
        request,
        frame=request.frame.rename(names),
        columns=[msgspec.structs.replace(one, name=names.get(one.name, one.name)) for one in request.columns],
        declared=in_names(request.declared, aliases, str(table.name)),
        note=replace(request.note, narrowed=narrowed),
    )


def replaces(before: State, request: Save) -> bool:
    """Tell whether a save gives a table the schema of its frame, whatever it was."""
    return request.mode == "overwrite" and (request.evolve or before.spec.rule == "none")


def declared(before: State | None, request: Save) -> TableSpec:
    """Tell what a save declares, of the frame and of what the table declares already."""
    if before is None:
        return declare(request.columns, request.declared, None)
    inherited = _present(before.spec, request.columns) if replaces(before, request) else before.spec
    return declare(request.columns, request.declared, inherited)


def _spec(table: Table, before: State | None, request: Save) -> TableSpec:
    name = str(table.name)
    spec = declared(before, request)
    if before is not None:
        if spec == before.spec:
            # That one knows already what follows from it.
            return before.spec
        spec = fit(before.spec, spec, request.mode, evolve=request.evolve, table=name)
    check(spec, name)
    _check_narrowed(request, spec, name)
    return spec


def _check_narrowed(request: Save, spec: TableSpec, table: str) -> None:
    """Refuse to round values for a column that stays as wide as it is."""
    for name in request.note.narrowed:
        if spec.dtypes[name] != pl.Float32:
            raise SchemaMismatch(
                f"column {name!r} of table {table} is {spec.dtypes[name]}: dtypes='compact' would only round values",
                hint="overwrite and evolve (evolve=True, --evolve) to narrow the column, or save in exact dtypes",
            )


def _present(spec: TableSpec, columns: Sequence[Column]) -> TableSpec:
    """Drop from a spec the keys that a frame replacing the table does not have."""
    names = {column.name for column in columns}
    kept_entity = set(spec.entity) <= names
    timestamp = spec.timestamp if spec.timestamp in names else None
    return msgspec.structs.replace(
        spec,
        entity=spec.entity if kept_entity else (),
        timestamp=timestamp,
        created=spec.created if spec.created in names else None,
        ttl=spec.ttl if timestamp else None,
        partition_by=tuple(name for name in spec.partition_by if name in names),
    )


def _stored(table: Table, request: Save, spec: TableSpec) -> pl.DataFrame:
    """Bring the frame into the form that it has in the files, in its own order."""
    stored = dtypes.to_stored(align(request.frame, spec, str(table.name)))
    for name in {*spec.row_key, *spec.partition_by}:
        if (row := dtypes.outside_calendar(stored[name])) is not None:
            raise InvalidInputError(
                f"key column {name!r} of table {table.name} holds a time outside the years 1 to 9999 in row {row}",
                hint="give an open end as null, or as a time that every reader knows",
            )
    return stored


def _sorted(stored: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    return stored.sort(spec.order, maintain_order=True) if spec.order else stored


def _write(table: Table, ready: Ready, stored: pl.DataFrame) -> Commit | None:
    """Write the files, then commit; None if it must be prepared anew."""
    request, before, spec = ready.request, ready.before, ready.spec
    adds = datafiles.write(table.fs, table.folder, stored, spec, table.options.encoding)
    try:
        with table.log.committing():
            while True:
                now = table.log.latest()
                if (landed := _landed(table, now, request)) is not None:
                    datafiles.discard(table.fs, table.folder, adds)
                    return landed
                _check_expected(table, now, request)
                if (now and now.metadata) != (before and before.metadata):
                    datafiles.discard(table.fs, table.folder, adds)
                    return None
                removes = list(now.files.values()) if now and request.mode == "overwrite" else []
                gone = now.rows if now and removes else 0
                change = Change(spec, adds, removes, stored.height, gone)
                try:
                    commit = ready.put(table, now, change)
                except FileExistsError:
                    # A writer that does not know our lock was first: look again and follow it.
                    continue
                if commit is None:
                    datafiles.discard(table.fs, table.folder, adds)
                return commit
    except OutcomeUnknown:
        raise
    except TiffinError:
        # Not for an interrupt: it may come after the commit, which needs these files. If not, a vacuum removes them.
        datafiles.discard(table.fs, table.folder, adds)
        raise


def _rewrite(table: Table, ready: Ready) -> Commit | None:
    """Work out, under the lock, which files must be written anew, and commit; None if it must be prepared anew."""
    request = ready.request
    with table.log.committing():
        now = table.log.latest()
        if (landed := _landed(table, now, request)) is not None:
            return landed
        _check_expected(table, now, request)
        if _spec(table, now, in_current_names(table, now, request)) != ready.spec:
            return None
        spec, fresh = ready.spec, ready.stored
        parts, removes, replaced = kept_rows(table, now, spec, fresh, request.mode)
        adds = _write_parts(table, spec, parts, fresh)
        try:
            change = Change(spec, adds, removes, fresh.height, replaced)
            commit = ready.put(table, now, change)
        except FileExistsError:
            commit = None
        except OutcomeUnknown:
            raise
        except TiffinError:
            # As above: not for an interrupt.
            datafiles.discard(table.fs, table.folder, adds)
            raise
        if commit is None:
            datafiles.discard(table.fs, table.folder, adds)
        return commit


@dataclass
class _Part:
    """Files that stand together and are written anew as one."""

    place: str | None
    """The place of the first; None behind all others."""
    rows: list[pl.DataFrame]
    """The rows that stay."""


def kept_rows(
    table: Table, now: State | None, spec: TableSpec, fresh: pl.DataFrame, mode: Mode
) -> tuple[list[_Part], list[Add], int]:
    """Find the rows that stay out of files that cannot: rows by place, files, and number of rows that go."""
    if now is None:
        return [], [], 0
    wide = widened(now.spec, spec)
    parts: list[_Part] = []
    touched, replaced, last = [], 0, -2
    for number, add in enumerate(at_their_places(now.files.values())):
        joins = number == last + 1
        # A file that names no place of its own goes along with the one that it stands behind.
        must = wide or (joins and POSITION not in (now.files[add.path].tags or {}))
        if not (must or _may_share(add, fresh, spec)):
            continue
        rows = table.stored([add], now.spec)
        if now.spec.stored != spec.stored:
            rows = _restored(rows, now.spec, spec, str(table.name))
        stay = rows.join(fresh, on=spec.row_key, how="anti", maintain_order="left") if mode == "upsert" else rows
        if not (must or stay.height < rows.height):
            continue
        if not joins:
            parts.append(_Part((add.tags or {})[POSITION], []))
        parts[-1].rows.append(stay)
        touched.append(now.files[add.path])
        replaced += rows.height - stay.height
        last = number
    if parts and last == len(now.files) - 1:
        parts[-1].place = None
    return parts, touched, replaced


def _write_parts(table: Table, spec: TableSpec, parts: Sequence[_Part], fresh: pl.DataFrame) -> list[Add]:
    """Write the rows that stay in the places that they had, and the fresh ones behind all others."""
    behind = [rows for part in parts if part.place is None for rows in part.rows]
    adds: list[Add] = []
    try:
        for part in [*(part for part in parts if part.place is not None), _Part(None, [*behind, fresh])]:
            rows = _sorted(pl.concat(part.rows), spec)
            written = datafiles.write(table.fs, table.folder, rows, spec, table.options.encoding)
            adds += written if part.place is None else _in_place(written, part.place)
    except BaseException:
        datafiles.discard(table.fs, table.folder, adds)
        raise
    return adds


def _in_place(adds: Sequence[Add], place: str) -> list[Add]:
    """Give files the place of the one that they stand for, in their order."""
    places = [place, *(f"{place}+{number:06}" for number in range(1, len(adds)))]
    return [
        msgspec.structs.replace(add, tags={**(add.tags or {}), POSITION: own})
        for add, own in zip(adds, places, strict=False)
    ]


def _restored(rows: pl.DataFrame, old: TableSpec, new: TableSpec, table: str) -> pl.DataFrame:
    """Bring rows stored under one spec into the form they have under another."""
    return dtypes.to_stored(align(dtypes.from_stored(rows, old.dtypes), new, table))


def _may_share(add: Add, fresh: pl.DataFrame, spec: TableSpec) -> bool:
    first = fresh[spec.row_key[0]]
    return bool(fresh.height) and datafiles.may_hold(add, spec.row_key[0], first.min(), first.max())


def _check_entity(spec: TableSpec, table: str) -> None:
    if not spec.entity:
        raise InvalidInputError(
            f"table {table} declares no entity, so an upsert cannot tell which rows to replace",
            hint="declare it (entity='user_id', --entity)",
        )


def _check_keys(fresh: pl.DataFrame, spec: TableSpec, table: str) -> None:
    """Refuse keys that do not tell rows apart."""
    key = spec.row_key
    for name in key:
        if fresh[name].null_count():
            row = fresh[name].is_null().arg_max()
            raise ConstraintViolated(
                f"key column {name!r} of table {table} is null in {fresh[name].null_count()} rows, first in row {row}",
                hint="an upsert needs every key: drop those rows or fill them",
            )
    doubled = fresh.select(key).is_duplicated()
    if doubled.any():
        example = dtypes.from_stored(fresh.select(key).filter(doubled).head(1), spec.dtypes).row(0, named=True)
        shown = ", ".join(f"{name}={value!r}" for name, value in example.items())
        raise ConstraintViolated(
            f"{doubled.sum()} rows for table {table} share a key with another, such as {shown}",
            hint="keep one row for each key: an upsert cannot choose between them",
        )
