"""File formats: which one a file has, by its name, by `--format`, or by its first bytes."""

from enum import StrEnum
from pathlib import PurePath

from tiffin.errors import InvalidInputError

STREAM = "-"
"""Stands for standard input or output where a file is named."""


class Format(StrEnum):
    """A format that tables are read from and written to."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    JSONL = "jsonl"


_ENDINGS = {
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}
_HINT = "name it .csv, .parquet, .json or .jsonl (with .gz if you like), or say --format"


def format_of(name: str) -> Format:
    """Tell a file's format from its name; a `.gz` at the end does not count.

    Raises
    ------
    InvalidInputError
        The name does not tell.
    """
    path = PurePath(name.lower().removesuffix(".gz"))
    try:
        return _ENDINGS[path.suffix]
    except KeyError:
        raise InvalidInputError(f"the name {name!r} does not tell the file's format", hint=_HINT) from None


def sniff(data: bytes) -> Format:
    """Tell the format of a stream from its first bytes.

    Text that is neither Parquet nor begins like JSON is CSV.
    """
    if data.startswith(b"PAR1"):
        return Format.PARQUET
    first = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"[": Format.JSON, b"{": Format.JSONL}.get(first, Format.CSV)
