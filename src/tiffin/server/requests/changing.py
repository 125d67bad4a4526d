"""What calls take that change what tables declare, name and try versions, and derive tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import polars as pl
from msgspec import UNSET, Meta, UnsetType, field

from tiffin.definitions import ColumnDefinition, Definitions
from tiffin.derived.on_demand import OnDemand, on_demand
from tiffin.errors import CorruptData, InvalidInputError
from tiffin.schema import dtypes
from tiffin.server.requests.parameters import (
    ColumnName,
    ColumnNames,
    Constraints,
    Defaults,
    Duration,
    Evolve,
    Force,
    Inputs,
    NarrowOrNot,
    Parameters,
    PinName,
    Replace,
    RuleName,
    TableText,
    Text,
    Whole,
)

_DEFINITION = {
    "source": "user/ratings",
    "entity": "user_id",
    "windows": ["7d", "all"],
    "aggregations": {"mean": ["mean", "count"]},
}
_Feature = Annotated[ColumnName, Meta(examples=["mean"])]
_Names = Annotated[dict[str, Any], Meta(examples=[{"mean": {"unit": "stars"}}])]
_Labels = Annotated[
    dict[str, str | None],
    Meta(description="Words by which it is found, each with a value; one that is null goes.", examples=[{"pii": ""}]),
]
_Dtypes = Annotated[
    dict[str, str], Meta(description="Column to dtype, as `GET /on-demand` shows it.", examples=[{"above": "Float64"}])
]


class Renaming(Parameters, frozen=True, kw_only=True):
    """Which feature is called otherwise."""

    old: _Feature
    new: Annotated[ColumnName, Meta(description="The old name goes on to mean it.", examples=["average"])]
    message: Text = ""


class DroppingColumns(Parameters, frozen=True, kw_only=True):
    """Which features go."""

    names: Annotated[tuple[ColumnName, ...], Meta(min_length=1, examples=[["city"]])]
    message: Text = ""
    force: Force = False


class Deprecating(Parameters, frozen=True, kw_only=True):
    """Which feature is about to go."""

    feature: _Feature
    message: Annotated[Text, Meta(description="Why; null takes the mark away.", examples=["use stars"])] | None
    removal: Annotated[date, Meta(description="The day on which it is to be removed.")] | None = None
    instead: Annotated[Text, Meta(description="What to use: a feature of the table, or a reference.")] | None = None


class Stating(Parameters, frozen=True, kw_only=True):
    """What a table declares from now on; what is not said stays."""

    description: Text | None = None
    owner: Text | None = None
    labels: _Labels | None = None
    links: tuple[Text, ...] | None = None
    timestamp: Annotated[str, Meta(max_length=128)] | None = None
    created: Annotated[str, Meta(max_length=128)] | None = None
    ttl: Annotated[Duration, Meta(description="A duration; of zero, it takes the ttl away.")] | None = None
    online: bool | None = None
    defaults: Defaults | None = None
    rule: RuleName | None = None
    columns: Annotated[_Names, Meta(description="What is said of columns; what is not said stays.")] | None = None
    whole_columns: Annotated[dict[str, ColumnDefinition], Meta(description="All that is said of columns.")] | None = (
        None
    )
    message: Text = ""

    def given(self) -> dict[str, Any]:
        """Return what is said, as the store takes it."""
        said = super().given()
        columns = {**said.pop("columns", {}), **said.pop("whole_columns", {})}
        return {**said, "columns": columns} if columns else said


class Tagging(Parameters, frozen=True, kw_only=True):
    """Which version gets a name."""

    version: Annotated[Whole | PinName, Meta(description="The version, or another tag of it.", examples=[0])]
    message: Text = ""
    move: Annotated[bool, Meta(description="Whether another version that has the tag may lose it.")] = False


class Staging(Parameters, frozen=True, kw_only=True):
    """How a save is tried."""

    mode: Literal["overwrite", "append", "upsert"] = "overwrite"
    entity: ColumnNames | UnsetType = UNSET
    timestamp: ColumnName | UnsetType = UNSET
    created: ColumnName | UnsetType = UNSET
    ttl: Duration | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    defaults: Defaults | UnsetType = UNSET
    evolve: Evolve = False
    dtypes: NarrowOrNot = "exact"
    message: Text = ""
    inputs: Inputs = ()
    replace: Replace = False


class Promoting(Parameters, frozen=True, kw_only=True):
    """How a stage is promoted."""

    message: Text = ""
    force: Annotated[
        bool, Meta(description="Whether it may replace what was saved since, and columns may go that a service uses.")
    ] = False


class Forced(Parameters, frozen=True, kw_only=True):
    """Whether what is used may go."""

    force: Force = False


class Constraining(Parameters, frozen=True, kw_only=True):
    """What rows must satisfy from now on."""

    constraints: Constraints
    message: Text = ""


class Unconstraining(Parameters, frozen=True, kw_only=True):
    """What rows need not satisfy any more."""

    constraint: Annotated[
        tuple[Text, ...], Meta(description="Names of constraints.", min_length=1, examples=[["mean_range"]])
    ]
    message: Text = ""


class Applying(Parameters, frozen=True, kw_only=True):
    """How definitions are applied."""

    plan: Annotated[bool, Meta(description="Whether only to tell what would change.")] = False
    missing_ok: Annotated[bool, Meta(description="Whether to pass over tables that do not exist yet.")] = False
    message: Text = ""


_Written = Definitions | Annotated[str, Meta(description="TOML.", examples=[""])]


class ApplyingJson(Applying, frozen=True, kw_only=True):
    """Definitions that are applied, as JSON has them."""

    definitions: _Written
    expected: Annotated[_Written, Meta(description="What the caller saw: nothing else is changed.")] | None = None


class Deriving(Parameters, frozen=True, kw_only=True):
    """What a table is derived from, and how."""

    definition: Annotated[
        dict[str, Any],
        Meta(description="`source`, `entity`, `windows`, `aggregations`, `where`, `expiry`.", examples=[_DEFINITION]),
    ]
    online: bool | None = None
    message: Text = ""
    force: Force = False


class Refreshing(Parameters, frozen=True, kw_only=True):
    """Why derived tables are brought up to their sources."""

    message: Text = ""


class NewOnDemand(Parameters, frozen=True, kw_only=True):
    """On-demand features that are SQL."""

    name: Annotated[TableText, Meta(description="`group/name`.", examples=["user/surprise"])]
    inputs: Annotated[tuple[Text, ...], Meta(min_length=1, examples=[["user/ratings:mean"]])]
    request: _Dtypes = field(default_factory=dict)
    outputs: _Dtypes
    sql: Annotated[
        dict[str, Text], Meta(description="Of each feature its expression.", examples=[{"above": "mean - 3"}])
    ]
    description: Text = ""
    replace: Replace = False

    def features(self) -> OnDemand:
        """Make them.

        Raises
        ------
        InvalidName, InvalidInputError
            They make no sense.
        """
        return on_demand(
            self.name,
            inputs=self.inputs,
            request=_decoded(self.request),
            outputs=_decoded(self.outputs),
            sql=self.sql,
            description=self.description,
        )


def _decoded(columns: Mapping[str, str]) -> dict[str, pl.DataType]:
    try:
        return {column: dtypes.decode(text) for column, text in columns.items()}
    except CorruptData as error:
        # Who wrote it is the caller, and not an older store.
        raise InvalidInputError(error.message, hint='write "Float64", or what GET /on-demand shows') from error
