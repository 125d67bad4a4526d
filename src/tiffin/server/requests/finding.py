"""What calls take that look: at values, at where tables come from, and at what there is."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from tiffin.server.requests.parameters import (
    AtVersion,
    ColumnName,
    Columns,
    Moment,
    Nan,
    Parameters,
    ReferenceText,
    Version,
    Whole,
)

_Which = Annotated[
    Whole | Annotated[str, Meta(min_length=1, max_length=128)],
    Meta(description="A version, by its number, its name or a time (2024-05-31T12:00:00Z).", examples=[0]),
]
_Depth = Annotated[Whole, Meta(description="How many steps to follow; all if left out.", examples=[3])]


class Checking(Parameters, frozen=True, kw_only=True):
    """Which version is checked."""

    version: Version | None = None
    as_of: Moment | None = None


class Drifting(Parameters, frozen=True, kw_only=True):
    """What is compared with what; rows in the body are compared with the baseline."""

    baseline: _Which
    current: Annotated[_Which, Meta(description="As `baseline`, or `online`; the newest if left out.")] | UnsetType = (
        UNSET
    )
    feature: ColumnName | UnsetType = UNSET
    columns: Columns | UnsetType = UNSET
    thresholds: (
        Annotated[
            dict[str, float | None],
            Meta(description="From where on a measure is drift; null does not watch it.", examples=[{"psi": 0.1}]),
        ]
        | UnsetType
    ) = UNSET


class Apart(Parameters, frozen=True, kw_only=True):
    """A page of the rows that were kept apart."""

    limit: Annotated[Whole, Meta(description="At most this many rows.")] | UnsetType = UNSET
    offset: Annotated[Whole, Meta(description="Pass over this many rows first.")] = 0
    nan: Nan = "null"


class MadeFrom(AtVersion, frozen=True, kw_only=True):
    """How far back it is followed what a table was made from."""

    depth: _Depth | UnsetType = UNSET


class Following(MadeFrom, frozen=True, kw_only=True):
    """How far it is followed what a table was made from and what is made from it."""

    direction: Literal["both", "up", "down"] = "both"


class Searching(Parameters, frozen=True, kw_only=True):
    """What is looked for."""

    text: Annotated[str, Meta(min_length=1, max_length=1000, examples=["ratings"])]
    limit: Annotated[int, Meta(ge=0, le=1000)] = 20


class Defining(Parameters, frozen=True, kw_only=True):
    """Whose definitions are wanted."""

    references: Annotated[tuple[ReferenceText, ...], Meta(description="Tables; all and the services if left out.")] = ()
    every_column: Annotated[bool, Meta(description="Whether to name also columns of which nothing is said.")] = False
