"""The verbs that make versions: save, restore, drop."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from tiffin import frames
from tiffin.errors import CorruptData, InvalidInputError, OnlineUnavailable, StorageError
from tiffin.schema.compatibility import Mode
from tiffin.schema.defaults import Default
from tiffin.schema.names import TableName, check_text
from tiffin.schema.table import Column, Declaration
from tiffin.store.opened import Opened, note_of, unpinned
from tiffin.tables import saving, upkeep
from tiffin.tables.actions import Once
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table


class Saving(Opened):
    """Methods of `FeatureStore` that make versions of tables."""

    def save(
        self,
        table: str,
        frame: Any,
        *,
        entity: str | Sequence[str] | None = None,
        timestamp: str | None = None,
        created: str | None = None,
        ttl: timedelta | None = None,
        partition_by: str | Sequence[str] | None = None,
        description: str | None = None,
        online: bool | None = None,
        defaults: Mapping[str, Default | None] | None = None,
        mode: Mode = "overwrite",
        evolve: bool = False,
        dtypes: Literal["exact", "compact"] = "exact",
        expected_version: int | None = None,
        message: str = "",
        inputs: str | Sequence[str] = (),
        force: bool = False,
        once: Once | None = None,
    ) -> Commit:
        """Save a frame as the next version of a table; when this returns, it survives a power loss.

        Parameters
        ----------
        table : str
            `group/name`.
        frame : frame
            pandas, Polars or PyArrow frame, anything with the Arrow C stream interface, or a list of dicts.
        entity : str or sequence of str, optional
            Key column or columns. Not said: as the table has it; for a new table `entity_id`, if there is one.
        timestamp : str, optional
            Column that says when a row became true. With an entity, rows are stored sorted by both.
        created : str, optional
            Column that says when a row was made; decides between rows of equal timestamps.
        ttl : timedelta, optional
            How long a row stays true after its timestamp.
        partition_by : str or sequence of str, optional
            Columns with few values, by which the files are kept apart.
        description : str, optional
            What the table is, for people.
        online : bool, optional
            Whether the online index holds the newest row of each entity.
        defaults : mapping of str to bool, int, float or str, optional
            What answers, in training frames and online, for a feature that is missing; None takes a default away.
        mode : {"overwrite", "append", "upsert"}
            Replace all rows, add to them, or replace those with the same entity and timestamp and add the others.
        evolve : bool
            Allow a change of schema that readers may notice: an overwrite takes the frame's schema, other modes
            fill columns that the frame lacks with nulls. New columns and wider types need no permission.
        dtypes : {"exact", "compact"}
            "compact" narrows 64-bit floats to 32 bits and says so in the history.
        expected_version : int, optional
            Save only if the table is at this version (-1: does not exist).
        message : str
            Why, for the history.
        inputs : str or sequence of str
            What the rows were made from, for the history.
        force : bool
            Whether `evolve` may take away columns that a feature service uses.
        once : Once, optional
            Names this save: tried again under the same name it lands once, and returns the commit that it made. The
            name is remembered for a thousand versions of the table.

        Returns
        -------
        Commit
            The version made, with row counts and the table's folder.

        Raises
        ------
        InvalidName, InvalidInputError, SchemaMismatch, ConstraintViolated
            The input cannot be saved; nothing was changed.
        CommitConflict
            The table is not at the expected version; nothing was changed.
        ConflictError
            `once` has the name of another save; nothing was changed.
        InUse
            A feature service uses a column that the frame does not have; nothing was changed.
        NoSpace, StorageError
            The disk refused; nothing was changed.
        OutcomeUnknown
            The version is there, but whether it survives a power loss is not known.
        """
        if mode not in {"overwrite", "append", "upsert"}:
            raise InvalidInputError(f"mode is {mode!r}", hint="choose overwrite, append or upsert")
        if dtypes not in {"exact", "compact"}:
            raise InvalidInputError(f"dtypes is {dtypes!r}", hint="choose exact or compact")
        if description is not None:
            check_text(description, "description")
        if isinstance(expected_version, bool) or not isinstance(expected_version, int | None):
            raise InvalidInputError(
                f"expected_version is {expected_version!r}", hint="give a whole number; -1 for no table yet"
            )
        target = self._catalog.table(_table_name(table))
        given = frames.ingest(frame)
        rows, narrowed = saving.narrow(given.frame) if dtypes == "compact" else (given.frame, ())
        origins = {name: origin for name, origin in given.origins.items() if name not in narrowed}
        if mode == "overwrite" and evolve and not force:
            self._check_unused(target, target.log.latest(), rows.columns)
        request = saving.Save(
            frame=rows,
            columns=[Column(name, dtype, origins.get(name, "")) for name, dtype in rows.schema.items()],
            declared=Declaration(entity, timestamp, created, ttl, partition_by, description, online, defaults),
            mode=mode,
            evolve=evolve,
            expected_version=expected_version,
            note=note_of(message, _inputs(inputs), narrowed, once),
        )
        before = target.log.latest()
        return self._after_commit(target, before, saving.save(target, request))

    def restore(self, reference: str, version: int, *, message: str = "", force: bool = False) -> Commit:
        """Make an older version the newest again; this is itself a version, nothing is lost.

        Parameters
        ----------
        reference : str
            `group/name`.
        version : int
            The version to go back to.
        message : str
            Why, for the history.
        force : bool
            Whether columns may go that a feature service uses.

        Returns
        -------
        Commit

        Raises
        ------
        InUse
            A feature service uses a column that the older version does not have; nothing was changed.
        """
        note = note_of(message or f"restored version {version}")
        table, latest = self._catalog.resolve(unpinned(reference))
        if not force:
            self._check_unused(table, latest, table.log.at(version).spec.names)
        return self._after_commit(table, latest, upkeep.restore(table, version, note))

    def drop(self, reference: str, *, force: bool = False) -> None:
        """Remove a table with all its versions, for good.

        Parameters
        ----------
        reference : str
            `group/name`.
        force : bool
            Whether it may go although a feature service uses it, or a training set was made from it.

        Raises
        ------
        InUse
            A feature service or a training set needs it; nothing was changed.
        OnlineUnavailable
            The table is gone, and its rows could not be taken out of the online index.
        """
        table = self._catalog.find(unpinned(reference))
        if not force:
            self._registry.check_unused(f"table {table.name}", table.name)
        before = None
        with contextlib.suppress(CorruptData):
            # What the index holds of a damaged table is swept later: it can be dropped all the same.
            before = table.log.latest()
        if before is not None and not force:
            self._sets.check_unused(str(table.name), before.metadata.id)
        upkeep.drop(table)
        if before is not None and before.spec.online:
            self._forget(table, before)

    def _forget(self, table: Table, before: State) -> None:
        try:
            self._materializer.forget(before.metadata.id)
        except StorageError as error:
            raise OnlineUnavailable(
                f"table {table.name} is dropped, but its online rows are still there: {error.message}",
                hint="they go with the next materialize: store.materialize(), tiffin materialize",
            ) from error

    def _after_commit(self, table: Table, before: State | None, commit: Commit) -> Commit:
        """Follow a commit in the online index and do what else is due; what fails becomes a warning."""
        was_online = before is not None and before.spec.online
        # The index first: a vacuum may take what it needs to follow.
        commit = self._materializer.after_commit(table, commit, was_online=was_online)
        commit = upkeep.after_commit(table, commit)
        if commit.online_version == commit.version:
            # Merging small files may have made another version.
            commit = self._materializer.after_commit(table, commit, was_online=True)
        return commit

    def _check_unused(self, table: Table, now: State | None, names: Sequence[str]) -> None:
        """Refuse to take away columns that a feature service uses; whoever uses a feature uses the keys too."""
        gone = set(now.spec.names) - set(names) if now else set()
        if now and gone:
            what = f"{', '.join(map(repr, sorted(gone)))} of table {table.name}"
            affected = gone if gone <= set(now.spec.features) else now.spec.features
            self._registry.check_unused(what, table.name, affected)


def _inputs(inputs: str | Sequence[str]) -> tuple[str, ...]:
    """Return what a save was made from, as texts; one text is one input."""
    listed = (inputs,) if isinstance(inputs, str) else tuple(map(str, inputs))
    return tuple(check_text(text, "an input") for text in listed)


def _table_name(text: str) -> TableName:
    parsed = unpinned(text)
    if parsed.group is None:
        raise InvalidInputError(
            f"{text!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{text}'"
        )
    return TableName(parsed.group, parsed.name)
