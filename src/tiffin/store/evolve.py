"""The verbs by which tables evolve: plan, rename, drop_columns, deprecate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

import msgspec

from tiffin.derived.listing import check_no_source
from tiffin.errors import InUse, InvalidInputError
from tiffin.frames import check_names
from tiffin.materialize import layout as layouts
from tiffin.schema import evolution
from tiffin.schema.compatibility import Mode
from tiffin.schema.constraints.texts import Constrained, read_all
from tiffin.schema.defaults import Default
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.names import Reference, check_text
from tiffin.schema.rules import Rule
from tiffin.schema.table import Declaration, TableSpec
from tiffin.store.opened import note_of, unpinned
from tiffin.store.save import Saving, check_arguments, request, table_name
from tiffin.tables import declaring, planning
from tiffin.tables.actions import Inputs
from tiffin.tables.judging import OnViolation
from tiffin.tables.planning import Following, Lost, Plan
from tiffin.tables.rewriting import rewrite
from tiffin.tables.saving import Save, replaces
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table


class Evolving(Saving):
    """Methods of `FeatureStore` by which the schemas of tables change, and that tell beforehand what would."""

    def plan(
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
    ) -> Plan:
        """Tell what a save would do, and change nothing.

        Parameters
        ----------
        table : str
            `group/name`; it need not exist yet.
        frame : frame
            What would be saved.
        entity, timestamp, created, ttl, partition_by, description, online, defaults, rule, constraints : optional
            As for `save`; so is all that follows.

        Returns
        -------
        Plan
            `.ok` tells whether it would save, `.refusal` else why not; `.changes` of the schema, each with whether it
            may be made; rows and files before and after, what services would lose, and what the online index does.

        Raises
        ------
        InvalidName, InvalidInputError
            It is no frame, or an argument is not one that can be.
        StorageError
            The table cannot be read, or not be written to.
        """
        check_arguments(expected_version, on_violation)
        target = self._catalog.table(table_name(table))
        declared = Declaration(entity, timestamp, created, ttl, partition_by, description, online, defaults, rule=rule)
        declared = msgspec.structs.replace(declared, constraints=None if constraints is None else read_all(constraints))
        asked = request(frame, declared, mode, evolve=evolve, dtypes=dtypes, message=message, inputs=inputs)
        asked = replace(asked, expected_version=expected_version, on_violation=on_violation)
        before = target.log.latest()
        planned, spec = planning.plan(target, asked)
        planned = msgspec.structs.replace(
            planned,
            loses=tuple(self._losses(target, before, asked)),
            online="none" if spec is None else self._following(before, spec, planned),
        )
        try:
            if not force:
                self._check_used_stay(target, before, asked)
        except InUse as error:
            return planned.refused(error)
        return planned

    def rename(self, reference: str, old: str, new: str, *, message: str = "") -> Commit:
        """Call a feature otherwise; its old name goes on to mean it.

        References, services, reads, training frames and saves may go on to use the old name, and are answered under it;
        the new one works at older versions too. The files of the table are written anew, one at a time.

        Parameters
        ----------
        reference : str
            `group/name`.
        old : str
            What the feature is called; a key or time cannot be renamed.
        new : str
            What it is to be called.
        message : str
            Why, for the history.

        Returns
        -------
        Commit

        Raises
        ------
        TableNotFound, FeatureNotFound
            What is named is not there.
        InvalidName, InvalidInputError
            The new name cannot be one, or means another column; nothing was changed.
        InUse
            A derived table is made from the feature; nothing was changed.
        """
        table = self._catalog.find(unpinned(reference))
        check_names([new])
        note = note_of(message or f"{old} renamed to {new}")

        def revise(spec: TableSpec) -> TableSpec:
            return evolution.rename(spec, old, new, str(table.name))

        before = table.log.require()
        _check_not_derived(table, before)
        check_no_source(self._catalog, table.name, {old}, before.spec)
        commit = rewrite(table, revise, "rename", note, changes_data=False)
        return self._after_commit(table, before, commit)

    def drop_columns(
        self, reference: str, names: str | Sequence[str], *, message: str = "", force: bool = False
    ) -> Commit:
        """Take features away; the versions before keep them. A major version begins, unless the rule is none.

        Parameters
        ----------
        reference : str
            `group/name`.
        names : str or sequence of str
            The features; keys and times cannot go.
        message : str
            Why, for the history.
        force : bool
            Whether they may go although a feature service uses them.

        Returns
        -------
        Commit

        Raises
        ------
        TableNotFound, FeatureNotFound
            What is named is not there.
        InvalidInputError
            Nothing is named, or what cannot go; nothing was changed.
        InUse
            A feature service uses one of them, or a derived table is made from one; nothing was changed.
        """
        gone = [names] if isinstance(names, str) else list(names)
        if not gone:
            raise InvalidInputError("no column is named", hint="name the columns that are to go")
        table = self._catalog.find(unpinned(reference))
        before = table.log.require()
        after = evolution.drop(before.spec, gone, str(table.name))
        if not force:
            _check_not_derived(table, before)
            self._check_unused(table, before, {*after.names, *after.aliases})
        note = note_of(message or f"dropped {', '.join(gone)}")

        def revise(spec: TableSpec) -> TableSpec:
            return evolution.drop(spec, gone, str(table.name))

        return self._after_commit(table, before, rewrite(table, revise, "drop", note, changes_data=True))

    def deprecate(
        self,
        reference: str,
        feature: str,
        message: str | None,
        *,
        removal: date | None = None,
        instead: str | None = None,
    ) -> Commit:
        """Mark a feature as about to go: whoever asks for it is warned (`tiffin.errors.DeprecatedFeature`).

        Parameters
        ----------
        reference : str
            `group/name`.
        feature : str
            Which; a key or time cannot be marked.
        message : str or None
            Why, for people; None takes the mark away.
        removal : date, optional
            The day on which it is to be removed. Nothing happens then, but that the warning says it is overdue.
        instead : str, optional
            What to use: a feature of the table, or a reference.

        Returns
        -------
        Commit
            The version made; the newest, if this is said already.

        Raises
        ------
        TableNotFound, FeatureNotFound
            What is named is not there.
        InvalidInputError
            It is a key or time, or an argument makes no sense; nothing was changed.
        """
        mark = None if message is None else _mark(message, removal, instead)
        table = self._catalog.find(unpinned(reference))
        before = table.log.require()

        def revise(spec: TableSpec) -> TableSpec:
            return evolution.deprecate(spec, feature, mark, str(table.name))

        note = note_of(f"{feature}: {message or 'no longer deprecated'}")
        commit = declaring.declare(table, revise, "deprecate", note)
        return table.history(1)[0] if commit is None else self._after_commit(table, before, commit)

    def _losses(self, table: Table, before: State | None, asked: Save) -> list[Lost]:
        """List what services would lose."""
        if before is None or not replaces(before, asked):
            return []
        spec = before.spec
        gone = {*spec.names, *spec.aliases} - evolution.names_left(spec, asked.frame.columns)
        lost = ((service.name, _lost(service.uses(table.name), spec, gone)) for service in self._registry.services())
        return [Lost(service=name, features=features) for name, features in lost if features]

    def _following(self, before: State | None, spec: TableSpec, planned: Plan) -> Following:
        """Tell what the online index would do after a save."""
        was_online = before is not None and before.spec.online
        if not spec.online:
            return "leave" if was_online else "none"
        if before is None or not was_online or (head := self._materializer.head(before)) is None:
            return "rebuild"
        after = replace(before)
        after.know(spec)
        # As the index itself decides it: a change of most rows is not followed one by one.
        is_small = not planned.files_rewritten or (bool(spec.entity) and 2 * planned.files_rewritten < planned.files)
        return "follow" if layouts.after(head, after) and is_small else "rebuild"


def _mark(message: str, removal: date | None, instead: str | None) -> Deprecation:
    if not check_text(message, "message").strip():
        raise InvalidInputError("it is not said why the feature is deprecated", hint="say in a few words why")
    if isinstance(removal, datetime):
        removal = removal.date()
    if not isinstance(removal, date | None):
        raise InvalidInputError(f"removal is {removal!r}", hint="give a date: datetime.date(2030, 1, 31)")
    return Deprecation(message, removal, instead and check_text(instead, "instead"))


def _lost(uses: Sequence[Reference], spec: TableSpec, gone: Collection[str]) -> tuple[str, ...]:
    """List the features that a service would lose, by the names it has for them."""
    newest = [use.feature for use in uses if use.version is None]
    whole = [name for name in spec.features if name in gone] if None in newest else []
    return tuple(dict.fromkeys([*whole, *(name for name in newest if name and name in gone)]))


def _check_not_derived(table: Table, now: State) -> None:
    """Refuse to change features that a definition says."""
    if now.spec.derivation is not None:
        raise InvalidInputError(
            f"the features of table {table.name} are those that its definition says",
            hint="derive it anew (store.derive, tiffin derive make)",
        )
