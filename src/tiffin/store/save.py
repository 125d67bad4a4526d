"""The verbs that make versions: save, restore, drop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from tiffin import config, frames
from tiffin.errors import InvalidInputError
from tiffin.schema.compatibility import Mode
from tiffin.schema.names import TableName
from tiffin.schema.table import Column, Declaration
from tiffin.store.opened import Opened, unpinned
from tiffin.tables import saving, upkeep
from tiffin.tables.table import Commit

_LONGEST_MESSAGE = 10_000


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
        mode: Mode = "overwrite",
        evolve: bool = False,
        dtypes: Literal["exact", "compact"] = "exact",
        expected_version: int | None = None,
        message: str = "",
        inputs: str | Sequence[str] = (),
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
        NoSpace, StorageError
            The disk refused; nothing was changed.
        OutcomeUnknown
            The version is there, but whether it survives a power loss is not known.
        """
        if mode not in {"overwrite", "append", "upsert"}:
            raise InvalidInputError(f"mode is {mode!r}", hint="choose overwrite, append or upsert")
        if dtypes not in {"exact", "compact"}:
            raise InvalidInputError(f"dtypes is {dtypes!r}", hint="choose exact or compact")
        if not isinstance(message, str) or len(message) > _LONGEST_MESSAGE:
            raise InvalidInputError(
                f"message is no text of at most {_LONGEST_MESSAGE:,} characters", hint="say in a few words why"
            )
        if isinstance(expected_version, bool) or not isinstance(expected_version, int | None):
            raise InvalidInputError(
                f"expected_version is {expected_version!r}", hint="give a whole number; -1 for no table yet"
            )
        target = self._catalog.table(_table_name(table))
        given = frames.ingest(frame)
        rows, narrowed = saving.narrow(given.frame) if dtypes == "compact" else (given.frame, ())
        origins = {name: origin for name, origin in given.origins.items() if name not in narrowed}
        request = saving.Save(
            frame=rows,
            columns=[Column(name, dtype, origins.get(name, "")) for name, dtype in rows.schema.items()],
            declared=Declaration(entity, timestamp, created, ttl, partition_by, description),
            mode=mode,
            evolve=evolve,
            expected_version=expected_version,
            note=saving.Note(message, config.author(os.environ), _inputs(inputs), narrowed),
        )
        return upkeep.after_commit(target, saving.save(target, request))

    def restore(self, reference: str, version: int, *, message: str = "") -> Commit:
        """Make an older version the newest again; this is itself a version, nothing is lost.

        Parameters
        ----------
        reference : str
            `group/name`.
        version : int
            The version to go back to.
        message : str
            Why, for the history.

        Returns
        -------
        Commit
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        note = saving.Note(message or f"restored version {version}", config.author(os.environ))
        return upkeep.after_commit(table, upkeep.restore(table, version, note))

    def drop(self, reference: str) -> None:
        """Remove a table with all its versions, for good.

        Parameters
        ----------
        reference : str
            `group/name`.
        """
        upkeep.drop(self._catalog.find(unpinned(reference)))


def _inputs(inputs: str | Sequence[str]) -> tuple[str, ...]:
    """Return what a save was made from, as texts; one text is one input."""
    return (inputs,) if isinstance(inputs, str) else tuple(map(str, inputs))


def _table_name(text: str) -> TableName:
    parsed = unpinned(text)
    if parsed.group is None:
        raise InvalidInputError(
            f"{text!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{text}'"
        )
    return TableName(parsed.group, parsed.name)
