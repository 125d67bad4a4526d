"""On-demand features: computed when they are asked for, from stored features and from what only the asker knows.

The same code computes them for a training frame and for an online answer, on a frame with a column for each input,
called as the feature is, and for each column of the request.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema import dtypes
from tiffin.schema.names import check_part, check_text, parse_reference
from tiffin.schema.row_sql import compile_sql

Compute = Callable[[pl.DataFrame], Any]
"""From the inputs and the request to the outputs: a frame, or expressions that are to be selected."""

Dtypes = Mapping[str, "pl.DataType | type[pl.DataType]"]


class OnDemandFeatures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a store keeps of on-demand features: everything but the code of a function."""

    name: str
    """`group/name`; its features are asked for as those of a table are: `group/name:feature`."""
    inputs: tuple[str, ...]
    """References to the stored features that they are computed from."""
    request: dict[str, str]
    """The columns that the asker gives, with their dtypes."""
    outputs: dict[str, str]
    """The features, with their dtypes."""
    sql: dict[str, str] = {}
    """Of each feature the SQL expression that it is; empty for those that a Python function computes."""
    code: str = ""
    """Hash of the function's source, by which another one is noticed."""
    description: str = ""
    registered: datetime | None = None
    """When they were registered, UTC."""

    @property
    def columns(self) -> dict[str, str]:
        """The inputs by the columns that they are computed from, and their references."""
        return {str(parse_reference(text).feature): text for text in self.inputs}

    @property
    def mark(self) -> str:
        """What tells these from all others: a hash of their definition."""
        told = msgspec.structs.replace(self.definition, description="")
        return hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()

    @property
    def definition(self) -> OnDemandFeatures:
        """Everything but when they were registered."""
        return msgspec.structs.replace(self, registered=None)


class OnDemand:
    """On-demand features that can be computed.

    Attributes
    ----------
    declared : OnDemandFeatures
        What they are.
    """

    def __init__(self, declared: OnDemandFeatures, function: Compute | None = None) -> None:
        self.declared = declared
        self._function = function
        self._outputs = {name: dtypes.decode(text) for name, text in declared.outputs.items()}
        self._request = {name: dtypes.decode(text) for name, text in declared.request.items()}
        self._compiled: dict[tuple[tuple[str, pl.DataType], ...], list[pl.Expr]] = {}

    def __call__(self, frame: pl.DataFrame) -> Any:
        """Call the function as it is, or select the expressions."""
        return frame.select(self.expressions(frame.schema)) if self._function is None else self._function(frame)

    def __repr__(self) -> str:
        return f"OnDemand({self.declared.name!r})"

    def compute(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Compute the features of each row, and check what comes out.

        Parameters
        ----------
        frame : DataFrame, shape (n, inputs + request columns)
            The inputs, called as the features are, and the request's columns.

        Returns
        -------
        DataFrame, shape (n, outputs)

        Raises
        ------
        InvalidInputError
            What comes out is not what was declared, or it fails on some value; names the features.
        """
        try:
            found = self(frame)
            if not isinstance(found, pl.DataFrame):
                found = frame.select(found)
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise self._error(f"cannot be computed: {error}") from error
        return self._checked(found, frame.height)

    def request(self, frame: pl.DataFrame, what: str) -> list[pl.Series]:
        """Take the request's columns from a frame that has them, in the dtypes that were declared.

        Parameters
        ----------
        frame : DataFrame
            Has the columns, among others.
        what : str
            What the frame is, for messages.

        Raises
        ------
        InvalidInputError
            A column is missing, or a value has no exact place in its dtype.
        """
        columns = []
        for name, dtype in self._request.items():
            if name not in frame.columns:
                raise InvalidInputError(
                    f"column {name!r} is missing from {what}: {self.declared.name} is computed from it",
                    hint=did_you_mean(name, frame.columns) or f"give it, as {dtype}",
                )
            columns.append(self._exact(frame.get_column(name), dtype, what))
        return columns

    def expressions(self, schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
        """Compile the SQL expressions for columns of some dtypes.

        Raises
        ------
        InvalidInputError
            One is none, or does not look at one row alone.
        """
        key = tuple(schema.items())
        if key not in self._compiled:
            self._compiled[key] = [
                compile_sql(sql, schema, is_condition=False).expression.cast(self._outputs[name]).alias(name)
                for name, sql in self.declared.sql.items()
            ]
        return self._compiled[key]

    def try_on(self, inputs: Mapping[str, pl.DataType]) -> None:
        """Try on two rows of nulls whether they can be computed from inputs of some dtypes.

        Raises
        ------
        InvalidInputError
            They cannot.
        """
        schema = {**{name: inputs[name] for name in self.declared.columns}, **self._request}
        self.compute(pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in schema.items()}))

    def _exact(self, values: pl.Series, dtype: pl.DataType, what: str) -> pl.Series:
        if values.dtype == dtype:
            return values
        try:
            cast = values.cast(dtype, strict=False)
            lost = cast.cast(values.dtype, strict=False).ne_missing(values).arg_true()
        except pl.exceptions.PolarsError:
            # Nothing of the one type has a place in the other.
            cast = pl.Series(values.name, [None] * len(values), dtype)
            lost = values.is_not_null().arg_true()
        if len(lost):
            row = lost[0]
            raise InvalidInputError(
                f"column {values.name!r} of {what} holds {values[row]!r} in row {row}; "
                f"{self.declared.name} needs {dtype}",
                hint="give values of that type",
            )
        return cast

    def _checked(self, found: pl.DataFrame, height: int) -> pl.DataFrame:
        for name, dtype in self._outputs.items():
            if name not in found.columns:
                raise self._error(f"gives no {name!r}, but {', '.join(found.columns) or 'nothing'}")
            if found.schema[name] != dtype:
                raise self._error(f"gives {name!r} as {found.schema[name]}; {dtype} was declared")
        if found.height != height:
            raise self._error(f"gives {found.height} rows for {height}")
        return pl.DataFrame([found.get_column(name) for name in self._outputs])

    def _error(self, what: str) -> InvalidInputError:
        return InvalidInputError(
            f"on-demand {self.declared.name} {what}",
            hint="return a frame, or expressions, with a row for each row and the declared columns",
        )


@overload
def on_demand(
    name: str,
    *,
    inputs: Sequence[str],
    request: Dtypes | None = None,
    outputs: Dtypes,
    sql: None = None,
    description: str = "",
) -> Callable[[Compute], OnDemand]: ...


@overload
def on_demand(
    name: str,
    *,
    inputs: Sequence[str],
    request: Dtypes | None = None,
    outputs: Dtypes,
    sql: Mapping[str, str],
    description: str = "",
) -> OnDemand: ...


def on_demand(
    name: str,
    *,
    inputs: Sequence[str],
    request: Dtypes | None = None,
    outputs: Dtypes,
    sql: Mapping[str, str] | None = None,
    description: str = "",
) -> OnDemand | Callable[[Compute], OnDemand]:
    """Say what on-demand features are; `store.register` makes them known to a store.

    Parameters
    ----------
    name : str
        `group/name`: the features are asked for as `group/name:feature`.
    inputs : sequence of str
        References to stored features, each `group/name:feature`, and no two of one feature name.
    request : mapping of str to DataType, optional
        Columns that the asker gives: of the spine, or of the entity rows.
    outputs : mapping of str to DataType
        The features.
    sql : mapping of str to str, optional
        Of each feature an SQL expression over inputs and request. Without it, this decorates a function.
    description : str
        What they are, for people.

    Returns
    -------
    OnDemand, or a decorator that makes one of a function
        The function takes a Polars frame with the inputs, called as the features are, and the request's columns; it
        returns a frame, or expressions, with the outputs. It must compute each row by itself: `store.prove` finds out.

    Raises
    ------
    InvalidName, InvalidInputError
        It makes no sense.

    Examples
    --------
    >>> import polars as pl, tiffin
    >>> @tiffin.on_demand("user/surprise", inputs=["user/activity:rating_mean_7d"],
    ...                   request={"stars": pl.Float64}, outputs={"above": pl.Float64})
    ... def surprise(frame):
    ...     return frame.select(above=pl.col("stars") - pl.col("rating_mean_7d"))
    """
    declared = OnDemandFeatures(
        name=_checked_name(name),
        inputs=_checked_inputs(inputs, name),
        request=_written(request or {}, f"request of {name}"),
        outputs=_written(outputs, f"outputs of {name}"),
        sql=dict(sql or {}),
        description=check_text(description, f"the description of {name}"),
    )
    _check_columns(declared)
    if sql is not None:
        return OnDemand(declared)

    def take(function: Compute) -> OnDemand:
        return OnDemand(msgspec.structs.replace(declared, code=_code(function)), function)

    return take


def _checked_name(name: str) -> str:
    reference = parse_reference(name)
    if reference.group is None or reference.version is not None or reference.feature is not None:
        raise InvalidInputError(f"on-demand features are called {name!r}", hint="call them group/name")
    return name


def _checked_inputs(inputs: Sequence[str], name: str) -> tuple[str, ...]:
    if isinstance(inputs, str) or not inputs:
        raise InvalidInputError(f"inputs of {name}: {inputs!r}", hint="list references: ['group/name:feature']")
    for text in inputs:
        reference = parse_reference(text)
        if reference.group is None or reference.feature is None or reference.version is not None:
            raise InvalidInputError(f"an input of {name} is {text!r}", hint="write group/name:feature")
    return tuple(inputs)


def _written(columns: Dtypes, what: str) -> dict[str, str]:
    if not isinstance(columns, Mapping) or not all(isinstance(column, str) for column in columns):
        raise InvalidInputError(f"{what}: {columns!r}", hint='name columns and their dtypes: {"ratio": pl.Float64}')
    written = {}
    for column, dtype in columns.items():
        made = dtype() if isinstance(dtype, type) else dtype
        if not isinstance(made, pl.DataType):
            raise InvalidInputError(f"{what}: {column!r} is {dtype!r}", hint="give a Polars dtype, such as pl.Float64")
        dtypes.stored_dtype(made)
        written[column] = dtypes.encode(made)
    return written


def _check_columns(declared: OnDemandFeatures) -> None:
    columns = [*(str(parse_reference(text).feature) for text in declared.inputs), *declared.request]
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise InvalidInputError(
            f"{declared.name} has two columns {doubled!r} to compute from",
            hint="inputs and request need names of their own",
        )
    if not declared.outputs:
        raise InvalidInputError(f"{declared.name} has no outputs", hint='declare them: outputs={"ratio": pl.Float64}')
    for name in declared.outputs:
        check_part(name, "feature")
    if declared.sql and declared.sql.keys() != declared.outputs.keys():
        raise InvalidInputError(
            f"{declared.name} declares {', '.join(declared.outputs)} and has SQL for {', '.join(declared.sql)}",
            hint="give an expression for each output",
        )


def _code(function: Compute) -> str:
    """Hash a function's source; one that was typed in, without a file, has only what it was compiled to."""
    try:
        source = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        source = code.co_code + repr(code.co_names + code.co_varnames).encode() if code else repr(function).encode()
    return hashlib.blake2b(source, digest_size=8).hexdigest()
