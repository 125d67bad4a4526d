"""Values given to columns on the command line: `--default mean=3.5`, `--entity user_id=7,movie_id=42`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.errors import InvalidInputError

if TYPE_CHECKING:
    import polars as pl

_ONE = re.compile(r"\s*([^=]*[^=\s])\s*=(.*)", re.DOTALL)
_NEXT = re.compile(r",(?=[^,=]+=)")


def parse_assignment(text: str) -> tuple[str, str]:
    """Read `column=value`.

    Raises
    ------
    InvalidInputError
        It is no such thing.
    """
    found = _ONE.fullmatch(text)
    if not found:
        raise InvalidInputError(f"{text!r} gives no column a value", hint="write it like user_id=7")
    return found[1], found[2].strip()


def parse_row(text: str) -> dict[str, str]:
    """Read `column=value,column=value`; a comma that no `column=` follows belongs to the value.

    Raises
    ------
    InvalidInputError
        It is no such thing, or gives a column two values.
    """
    row: dict[str, str] = {}
    for part in _NEXT.split(text):
        column, value = parse_assignment(part)
        if column in row:
            raise InvalidInputError(f"{text!r} gives {column} two values", hint="repeat the option for another row")
        row[column] = value
    return row


def typed(given: Mapping[str, str], schema: Mapping[str, "pl.DataType"]) -> dict[str, Any]:
    """Read texts as values of their columns' types.

    Parameters
    ----------
    given : mapping of str to str
        A text may stand in quotes; where there is none the value is None.
    schema : mapping of str to DataType
        The columns; for one that is missing the text stays as it is: the store will say what is wrong.

    Raises
    ------
    InvalidInputError
        A text is no value of its column's type.
    """
    return {column: value_of_type(text, schema.get(column), column) if text else None for column, text in given.items()}


def value_of_type(text: str, dtype: "pl.DataType | None", column: str) -> Any:
    """Read a text as a value of a column's type; without a type it stays as it is.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    import polars as pl

    from tiffin.frames.texts import as_values

    text = unquoted(text)
    if dtype is None or dtype.is_nested():
        return text
    value = as_values(pl.Series([text]), dtype)[0]
    if value is None:
        raise InvalidInputError(f"{text!r} is not a value of column {column!r}, which is {dtype}")
    return value


def unquoted(text: str) -> str:
    """Take away quotes of either kind, if a text stands in them."""
    is_quoted = text[:1] in {"'", '"'} and text[-1:] == text[:1] and len(text) > 1
    return text[1:-1] if is_quoted else text
