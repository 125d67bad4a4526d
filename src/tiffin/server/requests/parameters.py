"""What calls take beside their rows: in the query of a URL, or as the keys of a JSON body.

Each type says names, types and meaning once; requests are checked against it and the OpenAPI document is made of it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.errors import InvalidInputError
from tiffin.schema.durations import parse_duration
from tiffin.schema.names import is_part
from tiffin.schema.rules import Rule

_MOST = 2**53 - 1
"""Whole numbers up to here are the same in every JSON library."""

Whole = Annotated[int, Meta(ge=0, le=_MOST)]
Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\d",
        description="A time in ISO 8601; one without a zone is UTC.",
        examples=["2024-05-31T12:00:00Z"],
    ),
]
Duration = Annotated[
    str, Meta(min_length=2, description="A duration in ISO 8601 (`P30D`), or as `30d`, `1h30m`.", examples=["P30D"])
]
KnownAt = Annotated[
    str,
    Meta(
        min_length=1,
        description="A time, or the spine's column that has one for each row: rows made after it do not count.",
        examples=["2024-05-31T12:00:00Z"],
    ),
]
Text = Annotated[str, Meta(max_length=10_000)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=128)]
# Documented only: the store checks names itself, and says what is wrong with one.
_PART = "[A-Za-z0-9_][A-Za-z0-9_-]{0,127}"
_TABLE = f"({_PART}/)?{_PART}"
PinName = Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": f"^{_PART}$"})]
Version = Annotated[
    Whole | PinName,
    Meta(description="A version, by its number or a tag, or a stage; the newest if left out.", examples=[0]),
]
ReferenceText = Annotated[
    str,
    Meta(examples=["user/ratings:mean"], extra_json_schema={"pattern": f"^{_TABLE}(@{_PART})?(:.{{1,128}})?$"}),
]
TableText = Annotated[str, Meta(examples=["user/ratings"], extra_json_schema={"pattern": f"^{_TABLE}$"})]
OwnName = Annotated[str, Meta(examples=["recommender"], extra_json_schema={"pattern": f"^{_PART}$"})]
ColumnNames = ColumnName | tuple[ColumnName, ...]
Columns = Annotated[tuple[ColumnName, ...], Meta(description="Which columns, in which order; all if left out.")]
FeatureList = Annotated[
    ReferenceText | Annotated[tuple[ReferenceText, ...], Meta(min_length=1)],
    Meta(description="References, or the name of a feature service alone.", examples=[["user/ratings:mean"]]),
]
Limit = Annotated[Whole, Meta(description="At most this many rows.", examples=[100])]
Offset = Annotated[Whole, Meta(description="Pass over this many rows first.")]
Force = Annotated[
    bool, Meta(description="Whether to do it although a feature service or a training set needs what goes.")
]
Replace = Annotated[bool, Meta(description="Whether it takes the place of one of the same name.")]
FullNames = Annotated[
    bool, Meta(description="Call features `group__name__feature`, or `name__feature` where no group is written.")
]
Nan = Annotated[
    Literal["null", "text"],
    Meta(description='How JSON shows NaN and infinities: as null, or as "NaN", "Infinity", "-Infinity".'),
]
Constraints = Annotated[
    tuple[Annotated[str, Meta(max_length=100_000)] | dict[str, Any], ...],
    Meta(
        description="What rows must satisfy, in words or as objects; in a URL an object is written as JSON.",
        examples=[["mean between 0 and 5"]],
    ),
]
RuleName = Annotated[Rule, Meta(description="What the table promises its readers from now on.")]
Evolve = Annotated[bool, Meta(description="Allow a change of schema that readers may notice.")]
NarrowOrNot = Annotated[Literal["exact", "compact"], Meta(description="`compact` narrows 64-bit floats to 32 bits.")]
Inputs = Annotated[Text | tuple[Text, ...], Meta(description="What the rows were made from.")]
Defaults = Annotated[
    dict[str, bool | int | float | str | None],
    Meta(
        description="What answers for a feature that is missing; null takes a default away.", examples=[{"mean": 0.0}]
    ),
]


def moment(text: str) -> datetime:
    """Read a time in ISO 8601.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{text[:60]!r} is not a time",
            hint="write it like 2024-05-31T12:00:00Z; in a URL, a + is written %2B",
        ) from error


def moment_or_column(text: str) -> datetime | str:
    """Read a time, or leave the name of a column as it is."""
    return moment(text) if re.match(r"\d{4}-\d\d-\d\d", text) else text


def moment_or_pin(value: int | str) -> datetime | int | str:
    """Read a time; leave a version as it is. What can be the name of one is no time: those have colons."""
    return value if isinstance(value, int) or is_part(value) else moment(value)


def constraints(written: tuple[str | dict[str, Any], ...]) -> list[str | dict[str, Any]]:
    """Take the texts that are JSON objects, as URLs have them, for those; no constraint in words begins like one.

    Raises
    ------
    InvalidInputError
        One is no JSON.
    """
    try:
        return [
            msgspec.json.decode(one, type=dict[str, Any]) if isinstance(one, str) and one.lstrip()[:1] == "{" else one
            for one in written
        ]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInputError(
            f"constraints: {error}", hint='write mean between 0 and 5, or {"column": "mean", "min": 0, "max": 5}'
        ) from error


def duration(text: str) -> timedelta:
    """Read a duration, in ISO 8601 or as people write it.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    try:
        return msgspec.convert(text, timedelta)
    except msgspec.ValidationError:
        return parse_duration(text)


def _as_it_is(value: Any) -> Any:
    return value


# A name means the same wherever it stands.
_READERS: dict[str, Any] = {
    "as_of": moment,
    "at": moment,
    "start": moment,
    "end": moment,
    "known_at": moment_or_column,
    "ttl": duration,
    "older_than": duration,
    "baseline": moment_or_pin,
    "current": moment_or_pin,
    "constraints": constraints,
}


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of them all: a name that is not known is an error."""

    def given_as_is(self) -> dict[str, Any]:
        """Return the parameters that were given, by name, as they were written."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET and value is not None}

    def given(self) -> dict[str, Any]:
        """Return the parameters that were given, by name, as the store takes them.

        Raises
        ------
        InvalidInputError
            A time or a duration is none; names the parameter.
        """
        return {name: _READERS.get(name, _as_it_is)(value) for name, value in self.given_as_is().items()}


class Shown(Parameters, frozen=True, kw_only=True):
    """How an answer of rows is shown."""

    nan: Nan = "null"


class Page(Shown, frozen=True, kw_only=True):
    """Rows of a table, as a query asks for them."""

    columns: Annotated[
        tuple[Text, ...],
        Meta(description="Names of columns, separated by commas or repeated; all if left out.", examples=[["mean"]]),
    ] = ()
    limit: Limit | UnsetType = UNSET
    offset: Offset = 0
    version: Version | UnsetType = UNSET
    as_of: Moment | UnsetType = UNSET


def split(columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """Take names of columns apart at commas; None if there are none."""
    return tuple(name.strip() for text in columns for name in text.split(",")) or None


class Records(Parameters, frozen=True, kw_only=True):
    """Nothing beside the rows."""


class AtVersion(Parameters, frozen=True, kw_only=True):
    """A version of a table."""

    version: Version | UnsetType = UNSET

    def reference(self, table: str) -> str:
        """Say the table at this version as a reference."""
        return table if self.version is UNSET else f"{table}@{self.version}"


class OfVersion(AtVersion, frozen=True, kw_only=True):
    """A version of a table, or of one feature of it."""

    feature: Annotated[ColumnName, Meta(description="One feature; all columns if left out.")] | UnsetType = UNSET

    def reference(self, table: str) -> str:
        """Say what is meant as a reference."""
        pinned = super().reference(table)
        return pinned if self.feature is UNSET else f"{pinned}:{self.feature}"


class Several(Parameters, frozen=True, kw_only=True):
    """Several tables, and whose rows of them."""

    feature_names: Annotated[tuple[TableText, ...], Meta(min_length=1, max_length=100, examples=[["user/ratings"]])]
    entity_ids: Annotated[list[Any], Meta(description="Keys; all rows if left out.", examples=[[7, 8]])] | None = None
    timestamp: Moment | None = None

    def moment(self) -> datetime | None:
        """Return as of when the tables are read."""
        return None if self.timestamp is None else moment(self.timestamp)


class Question(Parameters, frozen=True, kw_only=True):
    """Rows of a table, as JSON asks for them."""

    columns: Columns | None = None
    feature: Annotated[ColumnName, Meta(description="One column, with the keys and times.")] | None = None
    where: (
        Annotated[
            list[Any],
            Meta(
                description="Comparisons that must all hold, or lists of such lists of which one must.",
                examples=[[["mean", ">=", 4]]],
            ),
        ]
        | None
    ) = None
    entities: Annotated[list[Any], Meta(description="Keys whose rows are wanted.", examples=[[7, 8]])] | None = None
    version: Version | None = None
    as_of: Moment | None = None
    limit: Limit | None = None
    offset: Offset = 0


class Saving(Parameters, frozen=True, kw_only=True):
    """How a frame is saved."""

    mode: Literal["overwrite", "append", "upsert"] = "overwrite"
    entity: Annotated[ColumnNames, Meta(description="Key column or columns.", examples=["user_id"])] | UnsetType = UNSET
    timestamp: Annotated[ColumnName, Meta(description="Column that says when a row became true.")] | UnsetType = UNSET
    created: Annotated[ColumnName, Meta(description="Column that says when a row was made.")] | UnsetType = UNSET
    ttl: Duration | UnsetType = UNSET
    partition_by: Annotated[ColumnNames, Meta(description="Columns with few values.")] | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    online: Annotated[bool, Meta(description="Whether the online index holds the newest rows.")] | UnsetType = UNSET
    defaults: Defaults | UnsetType = UNSET
    rule: RuleName | UnsetType = UNSET
    constraints: Constraints | UnsetType = UNSET
    evolve: Evolve = False
    on_violation: Annotated[
        Literal["refuse", "quarantine"],
        Meta(description="Whether rows that break a constraint are refused, or kept apart and the others saved."),
    ] = "refuse"
    dtypes: NarrowOrNot = "exact"
    expected_version: (
        Annotated[
            int, Meta(ge=-1, le=_MOST, description="Save only if the table is at this version; -1: does not exist.")
        ]
        | UnsetType
    ) = UNSET
    message: Text = ""
    inputs: Inputs = ()
    force: Force = False


class Pushing(Parameters, frozen=True, kw_only=True):
    """How rows are pushed."""

    entity: ColumnNames | UnsetType = UNSET
    timestamp: ColumnName | UnsetType = UNSET
    created: ColumnName | UnsetType = UNSET
    message: Text = ""


class Dropping(Parameters, frozen=True, kw_only=True):
    """How a table is dropped."""

    force: Force = False


class Restoring(Parameters, frozen=True, kw_only=True):
    """Which version is to be the newest again."""

    version: Version
    message: Text = ""
    force: Force = False


class Materializing(Parameters, frozen=True, kw_only=True):
    """How the online index is filled."""

    from_scratch: Annotated[bool, Meta(description="Whether to fill in all rows anew.")] = False


class Newest(Parameters, frozen=True, kw_only=True):
    """How many of the newest."""

    limit: Limit = 10_000


class Versions(Parameters, frozen=True, kw_only=True):
    """Two versions to compare."""

    old: Annotated[Whole | PinName, Meta(description="The version to compare with.", examples=[0])]
    new: Version | UnsetType = UNSET


class Explaining(Parameters, frozen=True, kw_only=True):
    """A value to be explained."""

    feature: Annotated[ColumnName, Meta(description="All features if left out.")] | None = None
    version: Version | None = None
    entity: Annotated[Any, Meta(description="A value, a list of them, or an object by column.", examples=[7])] = None
    at: Moment | None = None
    ttl: Duration | None = None
    known_at: Moment | None = None

    def reference(self, table: str) -> str:
        """Say what is to be explained as a reference."""
        pinned = table if self.version is None else f"{table}@{self.version}"
        return pinned if self.feature is None else f"{pinned}:{self.feature}"

    def key(self) -> Any:
        """Return whose value it is, as the store takes it."""
        return tuple(self.entity) if isinstance(self.entity, list) else self.entity

    def times(self) -> dict[str, Any]:
        """Return as of when, as the store takes it."""
        return {name: value for name, value in self.given().items() if name in {"at", "ttl", "known_at"}}


class Joining(Shown, frozen=True, kw_only=True):
    """How a spine gets its features."""

    features: FeatureList
    timestamp: Annotated[ColumnName, Meta(description="The spine's column of times.")] | UnsetType = UNSET
    ttl: Duration | UnsetType = UNSET
    known_at: KnownAt | UnsetType = UNSET
    start: Moment | UnsetType = UNSET
    end: Moment | UnsetType = UNSET
    full_feature_names: FullNames = False


_Share = Annotated[float, Meta(ge=0, le=1)]


class Suspecting(Parameters, frozen=True, kw_only=True):
    """What features are checked for."""

    features: FeatureList
    label: Annotated[ColumnName, Meta(description="The spine's column that a model is to tell.")]
    timestamp: ColumnName | UnsetType = UNSET
    ttl: Duration | UnsetType = UNSET
    known_at: KnownAt | UnsetType = UNSET
    same_time: _Share | UnsetType = UNSET
    auc: _Share | UnsetType = UNSET
    correlation: _Share | UnsetType = UNSET
    errors_avoided: _Share | UnsetType = UNSET
    sample: Annotated[int, Meta(ge=1, le=_MOST)] | UnsetType = UNSET
    seed: Whole | UnsetType = UNSET


class Verifying(Parameters, frozen=True, kw_only=True):
    """What is compared."""

    features: FeatureList | None = None
    sample: Annotated[int, Meta(ge=1, le=50_000)] = 1000
    seed: Whole = 0


class NewService(Parameters, frozen=True, kw_only=True):
    """A feature service."""

    name: OwnName
    features: Annotated[tuple[ReferenceText, ...], Meta(min_length=1, examples=[["user/ratings:mean"]])]
    description: Text = ""
    replace: Replace = False


class NewTrainingSet(Parameters, frozen=True, kw_only=True):
    """How a training set is kept."""

    description: Text = ""
    replace: Replace = False


class Vacuuming(Parameters, frozen=True, kw_only=True):
    """What old versions may go."""

    table: TableText | None = None
    keep_versions: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    older_than: Duration | None = None
    dry_run: bool = False


class Compacting(Parameters, frozen=True, kw_only=True):
    """What is merged."""

    table: TableText | None = None


class Examining(Parameters, frozen=True, kw_only=True):
    """What is examined."""

    table: TableText | UnsetType = UNSET
