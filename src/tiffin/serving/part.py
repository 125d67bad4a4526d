"""One table's part in an answer: from entities to keys, and from packed rows to values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from tiffin.errors import InvalidInputError
from tiffin.features import Wanted
from tiffin.materialize.layout import NO_ENTITY, Layout
from tiffin.online.base import MAX_KEY_BYTES, Head, Rows, decode_head, encode_head
from tiffin.serving.answer import Found
from tiffin.serving.entities import Columns

_NOWHERE = b"\xff" * MAX_KEY_BYTES
"""Asked for in place of a key that no row can have: a key as long as this ends in a digest, and none is all ones."""
_MICROSECOND = timedelta(microseconds=1)


class Part:
    """What is taken from one table.

    Parameters
    ----------
    wanted : Wanted
        The features.
    layout : Layout
        How the rows lie in the index.
    head : Head
        What the index said of the table when its rows lay like that.
    """

    def __init__(self, wanted: Wanted, layout: Layout, head: Head) -> None:
        spec = wanted.state.spec
        self.id = wanted.state.metadata.id
        self.table = wanted.table
        self.head = encode_head(head)
        self._wanted = wanted
        self._known = (head.table, head.columns, head.layout)
        order = layout.rows.order
        self.places = tuple(
            (name, order.index(feature) + 1) for name, feature in zip(wanted.names, wanted.features, strict=True)
        )
        """For each feature its name in the answer, and where it stands in a row."""
        self._entity = spec.entity
        self._encode = layout.keys.encode_one if layout.keys else None
        self._codec = layout.rows
        self._ttl_us = None if spec.ttl is None else spec.ttl // _MICROSECOND
        self._blank = [None] * (len(order) + 1)
        names = dict(zip(wanted.features, wanted.names, strict=True))
        self._defaults = [(names[feature], default) for feature, default in spec.defaults.items() if feature in names]
        self._replaced = frozenset(name for name, _ in self._defaults)
        self.has_defaults = bool(self._defaults)

    def follows(self, head: bytes | None) -> bool:
        """Tell whether rows under another head can be read as before, because only the watermark moved."""
        if head is None:
            return False
        found = decode_head(head)
        if (found.table, found.columns, found.layout) != self._known:
            return False
        now = self.table.log.latest()
        if now is None or now.metadata != self._wanted.state.metadata:
            return False
        self.head = head
        return True

    def keys(self, columns: Columns, count: int) -> list[bytes]:
        """Return the key of each entity.

        Raises
        ------
        InvalidInputError
            A value is of another kind than its column; names row and column.
        """
        if self._encode is None:
            return [NO_ENTITY] * count
        try:
            keys = list(map(self._encode, self._entities(columns)))
        except InvalidInputError:
            self._refuse(columns)
            raise
        return keys if None not in keys else [key or _NOWHERE for key in keys]  # type: ignore[return-value]

    def _entities(self, columns: Columns) -> Iterator[tuple[Any, ...]]:
        names = self._entity
        # Nearly all entities have one column.
        return zip(columns[names[0]]) if len(names) == 1 else zip(*[columns[name] for name in names], strict=True)

    def answer(self, keys: Sequence[bytes], known: Rows, moment: int, answer: dict[str, list[Any]]) -> Found:
        """Put the values of this table's features into an answer.

        Parameters
        ----------
        keys : sequence of bytes
            The key of each entity.
        known : Rows
            What the index has for them.
        moment : int
            When it is now, microseconds since 1970-01-01 UTC: rows of later times are not true yet.
        answer : dict of str to list
            The values of each feature by its name, which are filled in.

        Returns
        -------
        Found
            What they were taken from.
        """
        oldest = None if self._ttl_us is None else moment - self._ttl_us
        head = known.head or b""
        if len(keys) == 1:
            # The most usual question, which can be answered with fewer detours.
            packed = known.rows[0]
            row = None if packed is None else self._codec.unpack(keys[0], packed, moment)
            found = Found((row,), oldest, head, self._replaced)
            values = self._blank if row is None or (oldest is not None and row[0] < oldest) else row
            for name, place in self.places:
                answer[name] = [values[place]]
        else:
            found = Found(self._codec.unpack_many(keys, known.rows, moment), oldest, head, self._replaced)
            answer.update(self._columns(found))
        for name, default in self._defaults:
            answer[name] = [default if value is None else value for value in answer[name]]
        return found

    def _columns(self, found: Found) -> Columns:
        """Gather the values of each feature; nulls where there is no row, or one too old."""
        blank, rows, oldest = self._blank, found.rows, found.oldest
        if oldest is None:
            valid = [blank if row is None else row for row in rows]
        else:
            valid = [blank if row is None or row[0] < oldest else row for row in rows]
        if not valid or 4 * len(self.places) < len(blank):
            # To turn whole rows into columns takes longer than to pick a few values of each.
            return {name: [row[place] for row in valid] for name, place in self.places}
        by_place = list(zip(*valid, strict=True))
        return {name: list(by_place[place]) for name, place in self.places}

    def _refuse(self, columns: Columns) -> None:
        """Say in which row the value is that cannot be a key."""
        assert self._encode is not None
        for number, entity in enumerate(self._entities(columns)):
            try:
                self._encode(entity)
            except InvalidInputError as error:
                raise InvalidInputError(f"row {number} of the entities: {error.message}", hint=error.hint) from error
