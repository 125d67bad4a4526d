"""Files and streams in: CSV, Parquet, JSON and JSON lines, each also compressed with gzip."""

import contextlib
import gzip
import io
import re
import sys
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.csv

from tiffin import frames
from tiffin.cli.files.formats import STREAM, Format, format_of, sniff
from tiffin.cli.run import make_interruptible
from tiffin.cli.views import words
from tiffin.errors import InvalidInputError, StorageError, did_you_mean
from tiffin.frames.texts import as_meant, from_json

_PIECE = 1 << 20
_LARGEST_CSV = (1 << 31) - 2
"""Bytes; PyArrow counts those of a block with 32 bits."""
_GZIP = b"\x1f\x8b"
_UNREADABLE = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # at a Parquet file whose pages lead outside of it
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
)


def load(name: str, form: Format | None = None, texts: Collection[str] = ()) -> pl.DataFrame | list[Any]:
    """Read a file, without making more of its values than the format says.

    Parameters
    ----------
    name : str
        A file, or `-` for standard input.
    form : Format, optional
        Its format, where the name does not tell; a stream's is found by looking.
    texts : collection of str
        Columns of a CSV file that stay text, whatever they look like.

    Returns
    -------
    DataFrame or list
        A list of rows for JSON and JSON lines.

    Raises
    ------
    InvalidInputError
        There is no such file, or it is not of that format; says where it goes wrong.
    StorageError
        It cannot be read.
    """
    return _loaded(name, form, texts)[0]


def read(
    name: str,
    form: Format | None = None,
    *,
    known: Mapping[str, pl.DataType] | None = None,
    times: Collection[str] = (),
) -> pl.DataFrame:
    """Read a file as a frame whose columns have the types they are meant to have.

    Parquet says what its types are. The texts and numbers of the other formats take the types of the table that
    they are meant for; of a new table, the columns named as times are read as times.

    Parameters
    ----------
    name : str
        A file, or `-` for standard input.
    form : Format, optional
        Its format, where the name does not tell.
    known : mapping of str to DataType, optional
        The columns of the table as it stands.
    times : collection of str
        Columns that hold times, in UTC where they say no zone.

    Returns
    -------
    DataFrame

    Raises
    ------
    InvalidInputError
        Also if a value is not of its column's type: names the column and the row.
    """
    known = known or {}
    # What a column without any values is to hold, its first values say.
    texts = {column for column, dtype in known.items() if dtype != pl.Null}
    loaded, form = _loaded(name, form, {*texts, *times})
    if isinstance(loaded, pl.DataFrame):
        return loaded if form is Format.PARQUET else as_meant(loaded, known, times)
    if all(isinstance(row, dict) for row in loaded):
        return from_json(loaded, known, times)
    return frames.ingest(loaded).frame


def _loaded(name: str, form: Format | None, texts: Collection[str]) -> tuple[pl.DataFrame | list[Any], Format]:
    if form is None and name != STREAM:
        form = format_of(name)
    with _translated(name):
        data = _bytes(name)
        form = form or sniff(data)
        if form is Format.CSV:
            return _csv(data, texts), form
        if form is Format.PARQUET:
            return pl.read_parquet(io.BytesIO(data)), form
        return _json_rows(data, lines=form is Format.JSONL), form


def _bytes(name: str) -> bytes:
    if name == STREAM:
        make_interruptible()
        # Piece by piece, because Ctrl-C is only heard between two reads.
        stream = cast("io.BufferedReader", sys.stdin.buffer)
        data = b"".join(iter(lambda: stream.read1(_PIECE), b""))
    else:
        data = Path(name).read_bytes()
    return gzip.decompress(data) if data.startswith(_GZIP) else data


def _csv(data: bytes, texts: Collection[str]) -> pl.DataFrame:
    frame = _csv_frame(data, texts)
    rounded = [column.name for column in frame.iter_columns() if column.dtype.is_float() and _is_beyond_exact(column)]
    if rounded:
        # Whole numbers beyond 64 bits with a sign were taken for floats: their last digits would be lost.
        digits = _csv_frame(data, {*texts, *rounded}).select(rounded)
        frame = frame.with_columns([whole for column in digits.iter_columns() if (whole := _whole(column)) is not None])
    return frame.with_columns([_plain(column) for column in frame.iter_columns()])


def _is_beyond_exact(column: pl.Series) -> bool:
    return bool((column.is_finite() & (column.abs() >= 2**53)).any())


def _whole(texts: pl.Series) -> pl.Series | None:
    """Read texts as whole numbers, or leave them texts where 64 bits are too few; None if they are not whole."""
    if not texts.str.contains(r"^[+-]?\d+$").all():
        return None
    numbers = texts.cast(pl.UInt64, strict=False)
    return texts if numbers.null_count() > texts.null_count() else numbers


def _csv_frame(data: bytes, texts: Collection[str]) -> pl.DataFrame:
    header = next(iter(data[: 1 << 16].splitlines()), b"")
    _check_separator(header)
    if len(data) > _LARGEST_CSV:
        raise InvalidInputError(
            f"the CSV holds {len(data):,} bytes; at most {_LARGEST_CSV:,} can be read at once",
            hint="save it in parts with --mode append, or as Parquet",
        )
    table = pyarrow.csv.read_csv(
        io.BytesIO(data),
        # One block, so that the types are inferred from the whole file and not from its first megabyte.
        read_options=pyarrow.csv.ReadOptions(block_size=len(data) + 1),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=b"," in header),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(texts, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InvalidInputError(
                f"column {field.name!r} of the CSV holds text that is not UTF-8", hint="convert it: iconv -t UTF-8"
            )
    return frames.ingest(table).frame


def _check_separator(header: bytes) -> None:
    """Refuse a file that would be read as one column of everything."""
    bare = re.sub(rb'"[^"]*"', b"", header)
    for separator in (";", "\t", "|"):
        if b"," not in bare and separator.encode() in bare:
            raise InvalidInputError(
                f"the columns of the CSV seem to be separated by {separator!r}",
                hint="separate them by commas; a name that holds other signs stands in double quotes",
            )


def _plain(column: pl.Series) -> pl.Series:
    """Hold times in microseconds, as everywhere else, unless that would lose some."""
    if not isinstance(column.dtype, pl.Datetime):
        return column
    plain = column.dt.cast_time_unit("us")
    return plain if plain.dt.cast_time_unit(column.dtype.time_unit).equals(column) else column


def _json_rows(data: bytes, *, lines: bool) -> list[Any]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    decoder = msgspec.json.Decoder()
    rows = decoder.decode_lines(data) if lines else decoder.decode(data)
    if not isinstance(rows, list):
        raise InvalidInputError("the JSON is not an array", hint="give an array of records: [{…}, {…}]")
    return rows


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    shown = "standard input" if name == STREAM else repr(name)
    try:
        yield
    except FileNotFoundError as error:
        folder = Path(name).parent
        files = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        there = [words.printable(str(folder / name)) for name in files]
        hint = did_you_mean(name, there) or "check the path"
        raise InvalidInputError(f"there is no file {shown}", hint=hint) from error
    except IsADirectoryError as error:
        raise InvalidInputError(f"{shown} is a folder, not a file", hint="name one file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInputError(f"{shown} is damaged: {error}", hint="it begins like gzip; make it again") from error
    except OSError as error:
        raise StorageError(f"cannot read {shown}: {error.strerror or error}") from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(f"cannot understand {shown}: {reason}", hint="correct it, or say --format") from error
