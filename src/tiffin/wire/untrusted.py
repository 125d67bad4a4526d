"""What the libraries that read Arrow and Parquet raise at bytes that are neither."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError, InvalidName

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Say that the body is not what it should be, whatever the library says about it.

    Parameters
    ----------
    what : str
        What it should be.

    Raises
    ------
    InvalidInputError
        It is not.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy

    try:
        yield
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,  # at names, time zones and categories that are no UTF-8
        msgspec.MsgspecError,
        struct.error,
        UnicodeError,
        KeyError,  # at types that PyArrow has no class for
        OSError,
    ) as error:
        reason = f"{error}".partition("\n")[0]
        if isinstance(error, pa.ArrowNotImplementedError):
            raise InvalidInputError(
                f"the {what} cannot be read: {reason}", hint="send types that PyArrow has; of integers, up to 64 bits"
            ) from error
        raise InvalidInputError(f"the body is no valid {what}: {reason}", hint="send it whole") from error


def check_fields(fields: Iterable[pa.Field]) -> None:
    """Refuse names of columns and of what is inside of them that no other library could be handed.

    Raises
    ------
    InvalidName
        One holds a NUL, which ends it in C.
    """
    for field in fields:
        if "\0" in field.name:
            raise InvalidName(f"{field.name[:40]!r} cannot be the name of a column", hint="rename it")
        check_fields(map(field.type.field, range(field.type.num_fields)))
