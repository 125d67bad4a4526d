"""The verbs that change what is declared, and no row: declare, definitions, apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from tiffin.definitions import Applied, ColumnDefinition, Definitions, ServiceDefinition, TableDefinition, read
from tiffin.definitions.changes import FieldChange, compare
from tiffin.definitions.model import define, revise, update
from tiffin.errors import CommitConflict, ServiceNotFound, StorageError, TableNotFound
from tiffin.features import resolve
from tiffin.schema.defaults import Default
from tiffin.schema.names import check_text
from tiffin.schema.rules import Rule
from tiffin.schema.table import TableSpec
from tiffin.store.opened import note_of, unpinned
from tiffin.store.save import Saving
from tiffin.store.services import Services
from tiffin.tables import declaring
from tiffin.tables.table import Commit, Table

_NO_TTL = timedelta(0)


class Declaring(Saving, Services):
    """Methods of `FeatureStore` that change what tables and services declare."""

    def declare(
        self,
        reference: str,
        *,
        description: str | None = None,
        owner: str | None = None,
        labels: Mapping[str, str | None] | None = None,
        links: Sequence[str] | None = None,
        timestamp: str | None = None,
        created: str | None = None,
        ttl: timedelta | None = None,
        online: bool | None = None,
        defaults: Mapping[str, Default | None] | None = None,
        rule: Rule | None = None,
        columns: Mapping[str, Mapping[str, Any] | ColumnDefinition] | None = None,
        message: str = "",
    ) -> Commit:
        """Change what a table declares; a version of its own with the same rows, none of which is written anew.

        What is not said stays. An empty text or list takes away what was declared, a ttl of zero the ttl. Of a mapping
        only what is named changes; a label or default that is None goes.

        Parameters
        ----------
        reference : str
            `group/name`.
        description : str, optional
            What the table is, for people.
        owner : str, optional
            Who answers for it.
        labels : mapping of str to str or None, optional
            Words by which it is found, each with a value that may be empty.
        links : sequence of str, optional
            Where more is written about it.
        timestamp, created : str, optional
            Columns of times. Rows that would have to be sorted anew are refused: save them.
        ttl : timedelta, optional
            How long a row stays true after its timestamp.
        online : bool, optional
            Whether the online index holds the newest row of each entity.
        defaults : mapping of str to bool, int, float, str or None, optional
            As for `save`.
        rule : {"backward", "forward", "full", "none"}, optional
            As for `save`.
        columns : mapping of str to mapping or ColumnDefinition, optional
            What is said of single columns: `{"mean": {"unit": "stars", "labels": {"pii": ""}}}`; description, unit,
            owner, labels, links, default, deprecated. A `ColumnDefinition` is all that is said of the column.
        message : str
            Why, for the history.

        Returns
        -------
        Commit
            The version made; the newest, if the table declares all this already.

        Raises
        ------
        TableNotFound, FeatureNotFound
            What is named is not there.
        InvalidInputError, SchemaMismatch
            The table cannot declare this; nothing was changed.
        """
        given: dict[str, Any] = {
            "description": description,
            "owner": owner,
            "labels": labels,
            "links": links,
            "timestamp": timestamp,
            "created": created,
            "ttl": ttl,
            "online": online,
            "defaults": defaults,
            "rule": rule,
            "columns": columns,
        }
        said = {name: value for name, value in given.items() if value is not None}
        if ttl == _NO_TTL:
            said["ttl"] = None
        table = self._catalog.find(unpinned(reference))

        def change(spec: TableSpec) -> TableSpec:
            return revise(spec, update(define(spec), said, str(table.name)), str(table.name))

        return self._declare(table, change, message) or table.history(1)[0]

    def definitions(self, references: Sequence[str] | None = None, *, every_column: bool = False) -> Definitions:
        """Say what tables and feature services declare, as definitions that can be kept in git.

        Parameters
        ----------
        references : sequence of str, optional
            Only these tables, and no services; all of both if left out.
        every_column : bool
            Whether to name also the columns of which nothing is said.

        Returns
        -------
        Definitions
            `tiffin.definitions.write` makes TOML of it. Of all those that cannot be read are `.unreadable`.

        Raises
        ------
        TableNotFound, StorageError
            One that is named is not there, or cannot be read.
        """
        specs, unreadable = self._all_specs() if references is None else (self._specs(references), ())
        services = self.services() if references is None else []
        damaged = self._registry.damaged() if references is None else ()
        return Definitions(
            tables={name: define(spec, every_column=every_column) for name, spec in specs.items()},
            services={s.name: ServiceDefinition(features=s.features, description=s.description) for s in services},
            unreadable=(*unreadable, *damaged),
        )

    def apply(
        self,
        definitions: Definitions | str,
        *,
        plan: bool = False,
        missing_ok: bool = False,
        expected: Definitions | None = None,
        message: str = "",
    ) -> Applied:
        """Make tables and feature services declare what definitions say, and nothing else.

        What a definition does not say of its table is taken away, except for the keys. Tables, columns' types and
        services that it does not name stay as they are. Everything is checked before the first change.

        Parameters
        ----------
        definitions : Definitions or str
            Or their TOML.
        plan : bool
            Whether only to tell what would change.
        missing_ok : bool
            Whether to pass over tables that do not exist yet; they are refused otherwise.
        expected : Definitions, optional
            What the caller saw. Change nothing if a table declares something else by now.
        message : str
            Why, for the history.

        Returns
        -------
        Applied
            What changed, field by field. Applied again, nothing does.

        Raises
        ------
        TableNotFound, FeatureNotFound
            What is named is not there; nothing was changed.
        InvalidInputError, SchemaMismatch
            A definition cannot be; nothing was changed.
        ConstraintViolated
            Rows that are there break a constraint that is new; nothing was changed.
        CommitConflict
            Someone else declared something `expected` does not know.
        """
        wanted = read(definitions) if isinstance(definitions, str) else definitions
        there = {str(name) for name in self._catalog.names()}
        missing = tuple(name for name in wanted.tables if name not in there)
        if missing and not missing_ok:
            raise TableNotFound(
                f"there is no table {missing[0]!r} yet"
                + (f", nor {len(missing) - 1} others that are defined" if missing[1:] else ""),
                hint="save it first: what it declares is kept with its rows; or pass over it (missing_ok=True, "
                "--missing-ok)",
                table=missing[0],
            )
        tables = [self._named(name)[0] for name in wanted.tables if name in there]
        changes = [change for table in tables for change in self._planned(table, wanted, expected)]
        changes += [change for name in wanted.services for change in self._planned_service(name, wanted.services[name])]
        if plan:
            return Applied(is_plan=True, changes=tuple(changes), missing=missing)
        made = [
            self._declare(table, _revision(table, wanted, expected), message or "definitions applied")
            for table in tables
        ]
        commits = [commit for commit in made if commit is not None]
        for name in dict.fromkeys(change.name for change in changes if change.what == "service"):
            service = wanted.services[name]
            self.create_service(name, service.features, description=service.description, replace=True)
        return Applied(
            is_plan=False,
            changes=tuple(changes),
            versions={commit.table: commit.version for commit in commits},
            missing=missing,
            warnings=tuple(warning for commit in commits for warning in commit.warnings),
        )

    def _specs(self, references: Sequence[str]) -> dict[str, TableSpec]:
        tables = [self._catalog.find(unpinned(reference)) for reference in references]
        return {str(table.name): table.log.require().spec for table in tables}

    def _all_specs(self) -> tuple[dict[str, TableSpec], tuple[str, ...]]:
        specs: dict[str, TableSpec] = {}
        unreadable = []
        for table in self._named(None):
            try:
                state = table.log.latest()
            except StorageError:
                unreadable.append(str(table.name))
            else:
                specs |= {str(table.name): state.spec} if state else {}
        return specs, tuple(unreadable)

    def _declare(self, table: Table, change: declaring.Revise, message: str) -> Commit | None:
        before = table.log.require()
        commit = declaring.declare(table, change, "declare", note_of(message))
        return None if commit is None else self._after_commit(table, before, commit)

    def _planned(self, table: Table, wanted: Definitions, expected: Definitions | None) -> tuple[FieldChange, ...]:
        """List what a definition changes of its table, which is checked to be possible."""
        name, now = str(table.name), table.log.require()
        declaring.check_declared(table, now, _revision(table, wanted, expected)(now.spec))
        return compare(name, define(now.spec), wanted.tables[name])

    def _planned_service(self, name: str, wanted: ServiceDefinition) -> tuple[FieldChange, ...]:
        resolve(self._catalog, self._registry, wanted.features, full_feature_names=True)
        check_text(wanted.description, f"the description of service {name!r}")
        features = tuple(dict.fromkeys(map(self._in_full, wanted.features)))
        try:
            service = self.service(name)
        except ServiceNotFound:
            known = None
        else:
            known = ServiceDefinition(features=service.features, description=service.description)
        return compare(name, known, msgspec.structs.replace(wanted, features=features))


def _revision(table: Table, wanted: Definitions, expected: Definitions | None) -> declaring.Revise:
    """Make a table declare what is defined, if it declares what is expected of it."""
    name = str(table.name)
    seen: TableDefinition | None = expected.tables.get(name) if expected is not None else None

    def change(spec: TableSpec) -> TableSpec:
        if seen is not None and (others := compare(name, seen, define(spec))):
            raise CommitConflict(
                f"table {name} was declared anew meanwhile: {', '.join(change.field for change in others)}",
                hint="look at what it declares now, and decide again",
            )
        return revise(spec, wanted.tables[name], name)

    return change
