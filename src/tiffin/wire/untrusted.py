"""What the libraries that read Arrow and Parquet raise at bytes that are neither."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError


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
        OSError,
    ) as error:
        reason = f"{error}".partition("\n")[0]
        raise InvalidInputError(f"the body is no valid {what}: {reason}", hint="send it whole") from error
