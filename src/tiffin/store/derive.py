"""The verbs of derived tables: derive, refresh, derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.derived.following import fill, follow
from tiffin.derived.listing import Derived, listed
from tiffin.derived.source import Source
from tiffin.errors import ConflictError, InvalidInputError, TiffinError
from tiffin.schema.derivation import Windowed, definition
from tiffin.schema.names import TableName, parse_reference
from tiffin.store.opened import note_of
from tiffin.store.save import Saving, table_name
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table


class Deriving(Saving):
    """Methods of `FeatureStore` that make tables from other tables, and keep them up to date."""

    def derive(
        self,
        name: str,
        what: Windowed | Mapping[str, Any],
        *,
        online: bool | None = None,
        message: str = "",
        force: bool = False,
    ) -> Commit:
        """Make a table of windowed features from the events of another table.

        The window of length w at an instant r holds the events in (r - w, r]. The derived table has a row for each
        entity and instant at which an event enters or leaves one of its windows, so that at any time its newest row is
        right. Its definition is kept in its own metadata; `refresh` brings it up to its source.

        Parameters
        ----------
        name : str
            `group/name` of the derived table.
        what : Windowed or mapping
            `{"source": "interaction/ratings", "entity": "user_id", "windows": ["7d", "30d", "all"],
            "aggregations": {"rating": ["mean", "count"], "*": ["count"]}, "where": [["rating", ">=", 3]]}`; with
            `"expiry": False` there are rows only for the instants at which events occur. Aggregations: count, sum,
            mean, min, max, std, first, last, distinct. The features are called `rating_mean_7d`, `count_7d`.
        online : bool, optional
            Whether the online index holds the table's newest rows; as it is if left out.
        message : str
            Why, for the history.
        force : bool
            Whether features may go that a feature service uses.

        Returns
        -------
        Commit
            Of a table that has this definition already and is up to date, the newest one.

        Raises
        ------
        TableNotFound, FeatureNotFound
            The source, or a column of it, is not there.
        InvalidName, InvalidInputError, SchemaMismatch
            The definition makes no sense for this source; nothing was changed.
        ConflictError
            There is a table of this name that was not derived.
        InUse
            A feature service uses a feature that would go; nothing was changed.
        StorageError
            The disk refused; nothing was changed.
        """
        made = definition(what)
        table = self._catalog.table(table_name(name))
        source = self._source(made)
        before = table.log.latest()
        if before is not None and before.spec.derivation is None:
            raise ConflictError(
                f"there is a table {name} already, and it was not derived", hint="choose another name, or drop it"
            )
        self._check_circle(table.name, made)
        self._on_demands.check_free(str(table.name))
        if before is not None and not force:
            self._check_unused(table, before, list(source.columns))
        note = note_of(message)
        known = before.spec.derivation if before else None
        if before and known and known.definition == made and online in {None, before.spec.online}:
            commit = follow(table, source, note)
            return table.history(1)[0] if commit is None else self._after_commit(table, before, commit)
        return self._after_commit(table, before, fill(table, source, note, online=online))

    def refresh(self, name: str | None = None, *, message: str = "") -> list[Commit]:
        """Bring derived tables up to their sources; the work follows what has changed there.

        After any saves, restores or drops of the source the table is what `derive` would make anew. One that cannot be
        refreshed does not keep the others from it: the first error is raised when all have been tried.

        Parameters
        ----------
        name : str, optional
            `group/name`; all derived tables if left out. What it is derived from comes first, if that is derived too.
        message : str
            Why, for the history.

        Returns
        -------
        list of Commit
            One for each table that was behind.

        Raises
        ------
        TableNotFound, FeatureNotFound, SchemaMismatch
            The source is not there any more, or not as it was.
        InvalidInputError
            The table is not derived.
        StorageError
            The disk refused; the table is as it was.
        """
        commits: dict[TableName, Commit | None] = {}
        failed: list[TiffinError] = []
        for table in self._named(name):
            # One that is damaged does not keep the others from being refreshed, nor one whose source is gone.
            state = self._catalog.readable(table.name) if name is None else table.log.require()
            if state is not None and state.spec.derivation is not None:
                try:
                    self._refresh(table, message, commits)
                except TiffinError as error:
                    error.message = f"table {table.name} cannot be refreshed: {error.message}"
                    failed.append(error)
            elif name is not None:
                raise InvalidInputError(
                    f"table {table.name} is not derived", hint="derive it: store.derive(…), tiffin derive make"
                )
        if failed:
            raise failed[0]
        return [commit for commit in commits.values() if commit is not None]

    def derived(self) -> list[Derived]:
        """List the derived tables: from what they are made, and how far they are behind it.

        Returns
        -------
        list of Derived
        """
        return listed(self._catalog)

    def _refresh(self, table: Table, message: str, commits: dict[TableName, Commit | None]) -> None:
        before = table.log.require()
        if table.name in commits or before.spec.derivation is None:
            return
        source = self._source(before.spec.derivation.definition)
        self._refresh(source.table, message, commits)
        source = self._source(before.spec.derivation.definition)
        commit = follow(table, source, note_of(message))
        commits[table.name] = None if commit is None else self._after_commit(table, before, commit)

    def _source(self, made: Windowed) -> Source:
        table, state = self._catalog.resolve(parse_reference(made.source))
        return Source(table, state, made)

    def _check_circle(self, name: TableName, made: Windowed) -> None:
        """Refuse a table that would be derived from itself, however far round."""
        found: Windowed | None = made
        while found is not None:
            if found.source == str(name):
                raise InvalidInputError(
                    f"table {name} would be derived from itself", hint="derive it under another name"
                )
            state: State | None = self._catalog.table(table_name(found.source)).log.latest()
            found = state.spec.derivation.definition if state and state.spec.derivation else None
