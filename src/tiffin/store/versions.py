"""The verbs that name versions and try them: tag, untag, tags, stage, stages, promote, discard."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from tiffin.schema.compatibility import Mode
from tiffin.schema.defaults import Default
from tiffin.schema.table import Declaration
from tiffin.store.opened import note_of, unpinned
from tiffin.store.save import Saving, request
from tiffin.tables import staging, tagging
from tiffin.tables.actions import Inputs
from tiffin.tables.stages import Stage
from tiffin.tables.table import Commit
from tiffin.tables.tags import Tag


class Versioning(Saving):
    """Methods of `FeatureStore` that give versions names and try versions before they are ones."""

    def tag(self, reference: str, version: int | str, name: str, *, message: str = "", move: bool = False) -> Tag:
        """Give a version of a table a name, which stands wherever its number may stand: `group/name@prod`.

        As long as a version has a tag no vacuum takes it. The tags of a table go where it goes, and go with it.

        Parameters
        ----------
        reference : str
            `group/name`.
        version : int or str
            The version, by its number or by another tag of it.
        name : str
            Letters, digits, `_` and `-`, and not a number.
        message : str
            Why, for people.
        move : bool
            Whether the tag may be taken from another version that has it.

        Returns
        -------
        Tag
            When this returns, it survives a power loss, and all processes see it.

        Raises
        ------
        ConflictError
            Another version has the tag and `move` is False, or a stage has the name.
        TableNotFound, VersionNotFound, Ambiguous
            What is to be tagged is not there.
        InvalidName, InvalidInputError, LimitError
            The name cannot be a tag, what is to be tagged is a stage, or the table has a thousand tags.
        CorruptData
            The file of the table's tags is damaged; nothing was changed.
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        return tagging.tag(table, version, name, note_of(message), move=move)

    def untag(self, reference: str, name: str, *, force: bool = False) -> None:
        """Take a tag away; the version that had it stays until a vacuum takes it.

        Parameters
        ----------
        reference : str
            `group/name`.
        name : str
            The tag.
        force : bool
            Whether it may go although a feature service uses it.

        Raises
        ------
        VersionNotFound
            No version has the tag.
        InUse
            A feature service uses it; nothing was changed.
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        if not force:
            self._registry.check_pin_unused(f"tag {name!r} of table {table.name}", table.name, name)
        tagging.untag(table, name)

    def tags(self, reference: str) -> tuple[Tag, ...]:
        """List the tags of a table by name.

        Parameters
        ----------
        reference : str
            `group/name`.

        Raises
        ------
        CorruptData
            The file of the table's tags is damaged.
        """
        return self._catalog.resolve(unpinned(reference))[0].tags.all()

    def stage(
        self,
        reference: str,
        frame: Any,
        name: str,
        *,
        entity: str | Sequence[str] | None = None,
        timestamp: str | None = None,
        created: str | None = None,
        ttl: timedelta | None = None,
        description: str | None = None,
        defaults: Mapping[str, Default | None] | None = None,
        mode: Mode = "overwrite",
        evolve: bool = False,
        dtypes: Literal["exact", "compact"] = "exact",
        message: str = "",
        inputs: Inputs = (),
        replace: bool = False,
    ) -> Stage:
        """Try a save: what would be the next version, beside the table, seen only by those who ask for it by name.

        It can be read, profiled, compared and joined as `group/name@stage`, then promoted or discarded. Meanwhile the
        version that it stands on is kept from vacuums. It is never online.

        Parameters
        ----------
        reference : str
            `group/name`, of a table that exists.
        frame : frame
            As for `save`.
        name : str
            Letters, digits, `_` and `-`, and not a number.
        entity, timestamp, created, ttl, description, defaults, mode, evolve, dtypes, message, inputs
            As for `save`; the message and the inputs are those of the version if it is promoted.
        replace : bool
            Whether it takes the place of a stage of the same name.

        Returns
        -------
        Stage
            When this returns, it survives a power loss.

        Raises
        ------
        ConflictError
            There is a stage of this name and `replace` is False, or a tag has it.
        TableNotFound, Ambiguous
            There is no such table to stand on.
        InvalidName, InvalidInputError, SchemaMismatch, ConstraintViolated, LimitError
            It could not be saved either, the name cannot be one, or the table has a hundred stages.
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        declared = Declaration(entity, timestamp, created, ttl, None, description, None, defaults)
        asked = request(frame, declared, mode, evolve=evolve, dtypes=dtypes, message=message, inputs=inputs)
        asked = dataclasses.replace(asked, note=self._traced(asked.note, inputs))
        return staging.stage(table, asked, name, replaces=replace)

    def stages(self, reference: str) -> tuple[Stage, ...]:
        """List the stages of a table by name.

        Parameters
        ----------
        reference : str
            `group/name`.

        Raises
        ------
        CorruptData
            The file of a stage is damaged.
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        return tuple(map(table.stages.describe, table.stages.all()))

    def promote(self, reference: str, name: str, *, message: str = "", force: bool = False) -> Commit:
        """Make a stage the next version of its table; nothing is copied.

        An append goes behind whatever the table holds by now. Other stages are promoted as long as the table holds what
        it did when they were made.

        Parameters
        ----------
        reference : str
            `group/name`.
        name : str
            The stage.
        message : str
            Why, for the history; the stage's own if left out.
        force : bool
            Whether an overwrite may replace what was saved since, and whether columns may go that a service uses, or
            the name of the stage.

        Returns
        -------
        Commit
            The version that it is now; the stage is gone.

        Raises
        ------
        VersionNotFound
            There is no such stage.
        CommitConflict
            The table has changed since; says how. The stage stays as it was.
        InUse
            A feature service uses a column that the stage does not have, or the stage itself; nothing was changed.
        CorruptData
            A file of the stage is gone or damaged; the table is as it was.
        """
        table, latest = self._catalog.resolve(unpinned(reference))
        if not force:
            self._registry.check_pin_unused(f"stage {name!r} of table {table.name}", table.name, name)
            spec = table.stages.state(staging.require(table, name)).spec
            self._check_unused(table, latest, {*spec.names, *spec.aliases})
        return self._after_commit(table, latest, staging.promote(table, name, note_of(message), force=force))

    def discard(self, reference: str, name: str, *, force: bool = False) -> None:
        """Remove a stage, even a damaged one, with the files that only it has.

        Parameters
        ----------
        reference : str
            `group/name`.
        name : str
            The stage.
        force : bool
            Whether it may go although a feature service uses it.

        Raises
        ------
        VersionNotFound
            There is no such stage.
        InUse
            A feature service uses it; nothing was changed.
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        if not force:
            self._registry.check_pin_unused(f"stage {name!r} of table {table.name}", table.name, name)
        staging.discard(table, name)
