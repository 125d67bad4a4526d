"""What a frame came from: the versions of its tables and, for a training frame, how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec
import polars as pl

from tiffin.frames.digest import column_digests, frame_digest


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a table that a training frame was made from, or a stage."""

    id: str
    """The table's identity: one of the same name that was made after a drop has another."""
    version: int
    """Of a stage the version that it stands on."""
    committed: datetime
    """When the version was committed, or the stage made, UTC."""
    oldest: int
    """The oldest version that was looked at: another one than `version` where `known_at` goes by commits."""
    stage: str = ""
    """The stage, if it was one: such a frame cannot be made again."""


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """What of a training frame was computed on demand, from the stored features of its recipe."""

    columns: dict[str, str]
    """Column to what is in it, `group/name:feature`."""
    definitions: dict[str, str]
    """Of the on-demand features of each name what tells them from all others."""
    names: tuple[str, ...]
    """The features of the frame, in order; the stored ones that are not among them were left out."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a training frame was made: what it takes, beside the spine's rows, to make it again."""

    features: dict[str, str]
    """Column to what is in it, `group/name@3:feature`."""
    sources: dict[str, Source]
    """By table, `group/name`."""
    spine: tuple[str, ...]
    """The columns of the spine."""
    timestamp: str | None
    """Which of them is the time; None if no table asked for one."""
    references: tuple[str, ...]
    """What was asked for, as it was written."""
    full_feature_names: bool = False
    ttl: timedelta | None = None
    """As given to the call; None for each table's own."""
    known_at: datetime | None = None
    known_at_column: str | None = None
    """The column of the spine that held it, if it was one."""
    made: datetime
    """When, UTC."""
    tiffin: str
    """Which version of Tiffin made it."""
    computed: Computed | msgspec.UnsetType = msgspec.UNSET

    @property
    def columns(self) -> tuple[str, ...]:
        """The features of the frame, in order."""
        return (*self.features,) if self.computed is msgspec.UNSET else self.computed.names

    def __post_init__(self) -> None:
        # It may have been written by anybody; msgspec reports a ValueError as a value that is not valid.
        if self.ttl is not None and self.ttl <= timedelta(0):
            raise ValueError(f"the ttl is {self.ttl}")
        for moment in (self.known_at, self.made):
            if moment is not None:
                _check_moment(moment)


def _check_moment(moment: datetime) -> None:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment} is no time in UTC") from None


class Lock(Mapping[str, int]):
    """The versions a frame came from, by table; of a training frame also its recipe and its hashes.

    Equal to a dict of the same tables and versions.

    Parameters
    ----------
    versions : mapping of str to int
        Table, `group/name`, to version.
    recipe : Recipe, optional
        How a training frame was made.
    columns : DataFrame or mapping of str to str, optional
        The training frame, to be hashed when that is first asked for, or its columns' hashes.

    Attributes
    ----------
    recipe : Recipe or None
        As given.
    """

    def __init__(
        self,
        versions: Mapping[str, int],
        recipe: Recipe | None = None,
        columns: pl.DataFrame | Mapping[str, str] | None = None,
    ) -> None:
        self._versions = dict(versions)
        self._columns = columns
        self.recipe = recipe

    def __getitem__(self, table: str) -> int:
        return self._versions[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    @cached_property
    def column_hashes(self) -> dict[str, str]:
        """Column to hash, as `tiffin.frames.digest` defines it; empty for a frame that is no training frame."""
        columns = self._columns
        hashes = column_digests(columns) if isinstance(columns, pl.DataFrame) else dict(columns or {})
        # The hashes are kept by those who have let go of the frame.
        self._columns = hashes
        return hashes

    @property
    def spine_hash(self) -> str | None:
        """Hash of the spine: its columns' names, dtypes and values; None for a frame that is no training frame."""
        hashes = self.column_hashes
        return frame_digest((name, hashes[name]) for name in self.recipe.spine) if self.recipe else None

    @property
    def result_hash(self) -> str | None:
        """Hash of the training frame, spine and features; None for a frame that is no training frame."""
        return frame_digest(self.column_hashes.items()) if self.recipe else None

    def to_dict(self) -> dict[str, Any]:
        """Give the lock as values that JSON has; times and durations in ISO 8601.

        Returns
        -------
        dict
            `versions`; for a training frame also all fields of `Recipe`, `spine_hash`, `result_hash` and
            `column_hashes`.
        """
        if self.recipe is None:
            return {"versions": dict(self)}
        recipe: dict[str, Any] = msgspec.to_builtins(self.recipe)
        return {
            "versions": dict(self),
            **recipe,
            "spine_hash": self.spine_hash,
            "result_hash": self.result_hash,
            "column_hashes": self.column_hashes,
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Lock:
        """Make the lock that `to_dict` wrote.

        Raises
        ------
        msgspec.ValidationError
            It is not one of a training frame.
        """
        recipe = msgspec.convert(written, Recipe)
        hashes = msgspec.convert(written.get("column_hashes"), dict[str, str])
        if unhashed := [name for name in recipe.spine if name not in hashes]:
            raise msgspec.ValidationError(f"there is no hash of the spine's column {unhashed[0]!r}")
        return cls({table: source.version for table, source in recipe.sources.items()}, recipe, hashes)

    def __repr__(self) -> str:
        return f"Lock({self._versions})"

    def __str__(self) -> str:
        if self.recipe is None:
            return ", ".join(f"{table}@{version}" for table, version in self.items())
        known_at = self.recipe.known_at_column or self.recipe.known_at
        lines = [
            f"made {self.recipe.made:%Y-%m-%d %H:%M:%S %Z} by Tiffin {self.recipe.tiffin}",
            *(
                f"from {table}@{source.stage or source.version}, committed {source.committed:%Y-%m-%d %H:%M:%S %Z}"
                for table, source in self.recipe.sources.items()
            ),
            f"spine  {self.spine_hash}  {', '.join(self.recipe.spine)}",
            f"result {self.result_hash}  + {', '.join(self.recipe.columns)}",
            *([f"ttl {self.recipe.ttl}"] if self.recipe.ttl is not None else []),
            *([f"known at {known_at}"] if known_at is not None else []),
        ]
        return "\n".join(lines)
