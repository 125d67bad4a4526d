"""The verbs about constraints: constrain, unconstrain, check, quarantine."""

from __future__ import annotations

from datetime import datetime

from tiffin.frames import FeatureFrame
from tiffin.schema.constraints.texts import Constrained, read_all
from tiffin.schema.names import parse_reference
from tiffin.store.opened import note_of, unpinned
from tiffin.store.save import Saving
from tiffin.tables import constraining, quarantine
from tiffin.tables.table import Commit
from tiffin.tables.violations import CheckReport


class Constraining(Saving):
    """Methods of `FeatureStore` about what the rows of tables must satisfy."""

    def constrain(self, reference: str, *constraints: Constrained, message: str = "") -> Commit:
        """Declare what the rows of a table must satisfy from now on; a version of its own with the same rows.

        Parameters
        ----------
        reference : str
            `group/name`.
        *constraints : str, mapping or Constraint
            "rating between 0 and 5", {"column": "rating", "min": 0, "severity": "warn"}. One that is called as another
            takes its place.
        message : str
            Why, for the history.

        Returns
        -------
        Commit
            The version made; the newest, if the table declares all this already. Its warnings tell which constraints
            that only warn are broken by rows that are there.

        Raises
        ------
        ConstraintViolated
            Rows that are there break one; nothing was changed.
        InvalidInputError, SchemaMismatch
            One cannot be understood, or does not fit the table; nothing was changed.
        """
        table, before = self._catalog.resolve(unpinned(reference))
        commit = constraining.constrain(table, read_all(constraints), note_of(message))
        return table.history(1)[0] if commit is None else self._after_commit(table, before, commit)

    def unconstrain(self, reference: str, *names: str, message: str = "") -> Commit:
        """Take constraints away; a version of its own with the same rows.

        Parameters
        ----------
        reference : str
            `group/name`.
        *names : str
            Of the constraints.
        message : str
            Why, for the history.

        Raises
        ------
        InvalidInputError
            The table has no constraint of such a name; nothing was changed.
        """
        table, before = self._catalog.resolve(unpinned(reference))
        return self._after_commit(table, before, constraining.unconstrain(table, names, note_of(message)))

    def check(self, reference: str, *, version: int | str | None = None, as_of: datetime | None = None) -> CheckReport:
        """Check the rows of a version by the constraints that it declares.

        Parameters
        ----------
        reference : str
            `group/name`, or pinned.
        version : int or str, optional
            A version, or a tag or stage; the newest if left out.
        as_of : datetime, optional
            As it was then.

        Returns
        -------
        CheckReport
            `.ok`, `.violations`: each with the constraint, how many rows break it, and some of them.
        """
        table, state = self._at(parse_reference(reference), version, as_of)
        return constraining.check_version(table, state)

    def quarantine(self, reference: str) -> FeatureFrame:
        """Read the rows that saves with `on_violation="quarantine"` kept apart, oldest first.

        Parameters
        ----------
        reference : str
            `group/name`.

        Returns
        -------
        FeatureFrame
            The table's columns as they were then, with `quarantine_reason`, the constraints that the row broke,
            `quarantine_time`, `quarantine_version`, the version that its save was to make, and `quarantine_landed`:
            false if that save was cut off before it made one, null if its version was vacuumed.
        """
        return FeatureFrame(quarantine.read(self._catalog.find(unpinned(reference))))

    def clear_quarantine(self, reference: str) -> int:
        """Remove the rows that were kept apart, for good; return how many they were.

        Parameters
        ----------
        reference : str
            `group/name`.
        """
        return quarantine.clear(self._catalog.find(unpinned(reference)))
