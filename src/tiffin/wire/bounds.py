"""How much a body may hold once it is decoded: a few bytes can stand for very many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import polars as pl

from tiffin.errors import LimitError

if TYPE_CHECKING:
    import pyarrow as pa


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame that comes over the wire may hold.

    Attributes
    ----------
    rows : int
        Most rows.
    size_bytes : int
        Most bytes of all values together, each counted as often as it stands in the frame.
    columns : int
        Most columns.
    """

    rows: int = 10_000_000
    size_bytes: int = 1 << 30
    columns: int = 100_000

    def check_columns(self, columns: int) -> None:
        """Refuse more columns than may come.

        Raises
        ------
        LimitError
            There are more.
        """
        if columns > self.columns:
            raise LimitError(
                f"the body has {columns:,} columns or more; {self.columns:,} may come at once",
                hint="send it in several parts, or keep them in several tables",
            )

    def check_rows(self, rows: int) -> None:
        """Refuse more rows than may come.

        Raises
        ------
        LimitError
            There are more.
        """
        if rows > self.rows:
            raise LimitError(
                f"the body has {rows:,} rows or more; {self.rows:,} may come at once", hint="send it in several parts"
            )

    def check_size(self, size_bytes: int) -> None:
        """Refuse more bytes than may come.

        Raises
        ------
        LimitError
            There are more.
        """
        if size_bytes > self.size_bytes:
            raise LimitError(
                f"the body decodes to {size_bytes:,} bytes or more; {self.size_bytes:,} may come at once",
                hint="send it in several parts",
            )


def expanded_bytes(column: pa.Array) -> int:
    """Count the bytes of a column's values, each as often as it stands there.

    Parameters
    ----------
    column : pyarrow.Array, length n
        Valid in itself. In a dictionary, a view or a run one value can stand for many.

    Returns
    -------
    int
        Bytes. Values of fixed width count as the memory they take.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    kind = column.type
    if pa.types.is_null(kind):
        # They take no memory here, and take some wherever they are stored.
        return 8 * len(column)
    if pa.types.is_dictionary(kind):
        each = _lengths(column.dictionary)
        return int(pc.sum(pc.take(each, column.indices)).as_py() or 0) + int(column.indices.nbytes)
    if pa.types.is_run_end_encoded(kind):
        ends = pc.cast(column.run_ends, pa.int64())
        runs = pc.subtract(ends, pa.concat_arrays([pa.array([0], pa.int64()), ends[:-1]]))
        return int(pc.sum(pc.multiply(runs, _lengths(column.values))).as_py() or 0)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return int(pc.sum(_lengths(column)).as_py() or 0) + 16 * len(column)
    if pa.types.is_struct(kind):
        return sum(expanded_bytes(child) for child in column.flatten())
    if pa.types.is_map(kind):
        return expanded_bytes(column.keys) + expanded_bytes(column.items) + 8 * len(column)
    if pa.types.is_nested(kind) and not pa.types.is_union(kind) and not _is_view(kind):
        return expanded_bytes(column.flatten()) + 8 * len(column)
    return int(column.nbytes)


def _lengths(values: pa.Array) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    kind = values.type
    is_text = pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        # PyArrow 26 does not count them.
        views = pl.Series(values)
        sizes = views.str.len_bytes() if views.dtype == pl.String else views.bin.size()
        return sizes.cast(pl.Int64).to_arrow()
    if is_text or pa.types.is_large_binary(kind):
        return pc.cast(pc.binary_length(values), pa.int64())
    each = values.nbytes // max(len(values), 1) + 1
    return pa.array([each] * len(values), pa.int64())


def _is_view(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))
