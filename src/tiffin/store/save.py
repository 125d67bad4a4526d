"""The verbs that make versions: save, restore, drop."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from tiffin import frames
from tiffin.derived.listing import check_no_source
from tiffin.errors import CorruptData, InvalidInputError, OnlineUnavailable, StorageError
from tiffin.lineage.code import git_commit
from tiffin.lineage.inputs import recognise
from tiffin.schema.compatibility import Mode
from tiffin.schema.constraints.texts import Constrained, read_all
from tiffin.schema.defaults import Default
from tiffin.schema.evolution import names_left, restored
from tiffin.schema.names import TableName, check_text
from tiffin.schema.rules import Rule
from tiffin.schema.table import Column, Declaration
from tiffin.store.opened import Opened, note_of, unpinned
from tiffin.tables import saving, upkeep
from tiffin.tables.actions import Inputs, Once, input_names
from tiffin.tables.judging import OnViolation
from tiffin.tables.publishing import Note
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
        rule: Rule | None = None,
        constraints: Sequence[Constrained] | None = None,
        mode: Mode = "overwrite",
        evolve: bool = False,
        on_violation: OnViolation = "refuse",
        dtypes: Literal["exact", "compact"] = "exact",
        expected_version: int | None = None,
        message: str = "",
        inputs: Inputs = (),
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
        rule : {"backward", "forward", "full", "none"}, optional
            What the table promises its readers from now on: that who knows the new schema can read the old rows
            ("backward", as long as nothing else is said), that who knows the old one can read the new rows, both, or
            neither. The rule that stands decides on this save's own changes.
        constraints : sequence of str, mapping or Constraint, optional
            What the rows must satisfy from now on, besides what the table declares already: "rating between 0 and 5",
            {"column": "rating", "min": 0}. Rows that stay must satisfy them too.
        mode : {"overwrite", "append", "upsert"}
            Replace all rows, add to them, or replace those with the same entity and timestamp and add the others.
        evolve : bool
            Allow a change of schema that readers may notice: an overwrite takes the frame's schema, other modes
            fill columns that the frame lacks with nulls. What the table's rule allows needs no permission: new
            columns, and wider types unless it is "forward" or "full". Under "none" nothing does.
        on_violation : {"refuse", "quarantine"}
            Whether a save with rows that break a constraint is refused, or those rows are kept apart (`quarantine`) and
            the others saved.
        dtypes : {"exact", "compact"}
            "compact" narrows 64-bit floats to 32 bits and says so in the history.
        expected_version : int, optional
            Save only if the table is at this version (-1: does not exist).
        message : str
            Why, for the history.
        inputs : str, Path, or sequence of such
            What the rows were made from, for the history and the lineage: references to tables, which are noted with
            their versions; paths, as `Path` objects, of files, with their size and hash; or other words.
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
        InvalidName, InvalidInputError, SchemaMismatch
            The input cannot be saved; nothing was changed.
        ConstraintViolated
            Rows break a constraint: the error says which, how many and for example which; nothing was changed.
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
        check_arguments(expected_version, on_violation)
        target = self._catalog.table(table_name(table))
        declared = Declaration(
            entity, timestamp, created, ttl, partition_by, description, online, defaults,
            rule=rule, constraints=None if constraints is None else read_all(constraints),
        )  # fmt: skip
        asked = request(frame, declared, mode, evolve=evolve, dtypes=dtypes, message=message, inputs=inputs)
        note = self._traced(asked.note, inputs, once)
        asked = replace(asked, expected_version=expected_version, on_violation=on_violation, note=note)
        before = target.log.latest()
        if before is None:
            self._on_demands.check_free(str(target.name))
        if not force:
            self._check_used_stay(target, before, asked)
        return self._after_commit(target, before, saving.save(target, before, asked))

    def restore(self, reference: str, version: int | str, *, message: str = "", force: bool = False) -> Commit:
        """Make an older version the newest again; this is itself a version, nothing is lost.

        Parameters
        ----------
        reference : str
            `group/name`.
        version : int or str
            The version to go back to, or a tag of it.
        message : str
            Why, for the history.
        force : bool
            Whether columns may go that a feature service uses, and constraints that the older rows break: those that
            the table declared then come back with them.

        Returns
        -------
        Commit

        Raises
        ------
        InUse
            A feature service uses a column that the older version does not have; nothing was changed.
        ConstraintViolated
            The older rows break a constraint that the table declares by now; nothing was changed.
        """
        table, latest = self._catalog.resolve(unpinned(reference))
        old = table.at(version)
        if old.stage:
            raise InvalidInputError(
                f"{version!r} is a stage of table {table.name}, not a version that was",
                hint="promote it (store.promote, tiffin promote)",
            )
        tag = f" ({version})" if isinstance(version, str) else ""
        note = note_of(message or f"restored version {old.version}{tag}")
        if not force:
            again = restored(old.spec, latest.spec)
            self._check_unused(table, latest, {*again.names, *again.aliases})
        return self._after_commit(table, latest, upkeep.restore(table, old.version, note, force=force))

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
            self._on_demands.check_unused(f"table {table.name}", table.name)
            check_no_source(self._catalog, table.name)
        before = None
        with contextlib.suppress(CorruptData):
            # What the index holds of a damaged table is swept later: it can be dropped all the same.
            before = table.log.latest()
        if before is not None and not force:
            self._sets.check_unused(str(table.name), before.metadata.id)
        upkeep.drop(table)
        if before is not None:
            with contextlib.suppress(StorageError):
                # They are of no use any more, and the next vacuum takes them.
                self._profiles.forget(before.metadata.id)
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

    def _check_used_stay(self, table: Table, now: State | None, asked: saving.Save) -> None:
        """Refuse a save that takes away columns that a feature service uses."""
        if now is not None and saving.replaces(now, asked):
            self._check_unused(table, now, names_left(now.spec, asked.frame.columns))

    def _traced(self, note: Note, inputs: Inputs, once: Once | None = None) -> Note:
        """Note of the inputs which versions and files they are, of the code which commit, and what names the save."""
        code = git_commit() if self.settings.record_code else ""
        return replace(note, recognised=recognise(inputs, self._catalog), code=code, once=once)

    def _check_unused(self, table: Table, now: State, left: Collection[str]) -> None:
        """Refuse to leave only some names a meaning, if a feature service uses others."""
        gone = {*now.spec.names, *now.spec.aliases}.difference(left)
        if gone:
            shown = sorted(gone.intersection(now.spec.names)) or sorted(gone)
            what = f"{', '.join(map(repr, shown))} of table {table.name}"
            # Whoever uses a feature uses the keys too.
            is_key = not gone <= {*now.spec.features, *now.spec.aliases}
            affected = {*now.spec.features, *now.spec.aliases} if is_key else gone
            self._registry.check_unused(what, table.name, affected)
            self._on_demands.check_unused(what, table.name, affected)
            check_no_source(self._catalog, table.name, gone, now.spec)


def check_arguments(expected_version: object, on_violation: object) -> None:
    """Check what says when a save is made.

    Raises
    ------
    InvalidInputError
        An argument is not one that can be.
    """
    if isinstance(expected_version, bool) or not isinstance(expected_version, int | None):
        raise InvalidInputError(
            f"expected_version is {expected_version!r}", hint="give a whole number; -1 for no table yet"
        )
    if on_violation not in {"refuse", "quarantine"}:
        raise InvalidInputError(f"on_violation is {on_violation!r}", hint="choose refuse or quarantine")


def request(
    frame: Any,
    declared: Declaration,
    mode: Mode,
    *,
    evolve: bool,
    dtypes: Literal["exact", "compact"],
    message: str,
    inputs: Inputs,
) -> saving.Save:
    """Bring what a caller wants saved into the form in which tables take it; see `FeatureStore.save`.

    Raises
    ------
    InvalidInputError
        The frame is none, or an argument is not one that can be.
    """
    if mode not in {"overwrite", "append", "upsert"}:
        raise InvalidInputError(f"mode is {mode!r}", hint="choose overwrite, append or upsert")
    if dtypes not in {"exact", "compact"}:
        raise InvalidInputError(f"dtypes is {dtypes!r}", hint="choose exact or compact")
    if declared.description is not None:
        check_text(declared.description, "description")
    given = frames.ingest(frame)
    rows, narrowed = saving.narrow(given.frame) if dtypes == "compact" else (given.frame, ())
    origins = {name: origin for name, origin in given.origins.items() if name not in narrowed}
    return saving.Save(
        frame=rows,
        columns=[
            Column(name, dtype, origins.get(name, "")) for name, dtype in zip(rows.columns, rows.dtypes, strict=True)
        ],
        declared=declared,
        mode=mode,
        evolve=evolve,
        note=note_of(message, input_names(inputs), narrowed),
    )


def table_name(text: str) -> TableName:
    """Parse the full name of a table, which need not exist.

    Raises
    ------
    InvalidInputError
        The group is left out, or it names more than a table.
    """
    parsed = unpinned(text)
    if parsed.group is None:
        raise InvalidInputError(
            f"{text!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{text}'"
        )
    return TableName(parsed.group, parsed.name)
