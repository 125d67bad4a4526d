"""The frame that every read returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import polars as pl

from tiffin.frames import arrow, notebook, pandas_out
from tiffin.frames.lock import Lock

T = TypeVar("T")

Share = Callable[[str, Callable[[], Any]], Any]
"""Takes the name of a conversion and the conversion, and makes it once for all frames of the same values."""


class FeatureFrame:
    """Features as they were saved, given as a pandas, Polars or Arrow frame.

    Whatever a caller does to a frame that this one gave stays with that frame.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        The values.
    origins : mapping of str to str, optional
        Column name to the pandas or Arrow type that it was saved with, as `ingest` found it.
    lock : Lock or mapping of str to int, optional
        The tables that the values came from, `group/name`, and their versions.
    share : callable, optional
        `share(name, convert)` returns what `convert()` returned the first time, for all frames of the same values;
        by default each FeatureFrame remembers its own.

    Attributes
    ----------
    lock : Lock
        As given.
    origins : dict of str to str
        As given.
    """

    __slots__ = ("_frame", "_share", "lock", "origins")

    def __init__(
        self,
        frame: pl.DataFrame,
        *,
        origins: Mapping[str, str] | None = None,
        lock: Mapping[str, int] | None = None,
        share: Share | None = None,
    ) -> None:
        self._frame = frame
        self._share = share or _remember({})
        self.origins = dict(origins or {})
        self.lock = lock if isinstance(lock, Lock) else Lock(lock or {})

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return self._frame.columns

    @property
    def schema(self) -> pl.Schema:
        """Column name to Polars dtype."""
        return self._frame.schema

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._frame.shape

    def __len__(self) -> int:
        return self._frame.height

    def to_polars(self) -> pl.DataFrame:
        """Give the values as a Polars frame, without copying them.

        Returns
        -------
        polars.DataFrame, shape (n, k)
            The values; Polars copies a column when it is changed.
        """
        return self._frame.clone()

    def to_pandas(self) -> Any:
        """Give the values as a pandas frame, in the pandas types they were saved with.

        The conversion is made once; each caller gets a copy-on-write view of it. Lists and dicts can be changed
        in place, so a frame that holds any is converted for each caller.

        Returns
        -------
        pandas.DataFrame, shape (n, k)
            The values under a default RangeIndex.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        if any(dtype.is_nested() for dtype in self._frame.dtypes):
            return self._convert_to_pandas()
        return self._share("pandas", self._convert_to_pandas).copy(deep=False)

    def _convert_to_pandas(self) -> Any:
        return pandas_out.to_pandas(self._frame, self.origins)

    def to_df(self) -> Any:
        """Give the values as a pandas frame: Feast's name for `to_pandas`.

        Returns
        -------
        pandas.DataFrame, shape (n, k)
            The values under a default RangeIndex.
        """
        return self.to_pandas()

    def to_arrow(self) -> Any:
        """Give the values as a PyArrow table, in the Arrow types they were saved with.

        The conversion is made once: an Arrow table cannot be changed.

        Returns
        -------
        pyarrow.Table, shape (n, k)
            The values.

        Raises
        ------
        MissingDependency
            If PyArrow is not installed.
        """
        return self._share("arrow", lambda: arrow.to_arrow(self._frame, self.origins))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the values to any library that reads Arrow: `pl.DataFrame(frame)`, `pa.table(frame)`, DuckDB."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def head(self, rows: int = 5) -> FeatureFrame:
        """Give the first rows.

        Parameters
        ----------
        rows : int
            How many at most.

        Returns
        -------
        FeatureFrame, shape (min(n, rows), k)
            The first rows; its lock has the versions alone, the hashes would be another frame's.
        """
        return FeatureFrame(self._frame.head(rows), origins=self.origins, lock=dict(self.lock))

    def __repr__(self) -> str:
        return f"{notebook.title(self.shape, self.lock)}\n{self._frame!r}"

    def _repr_html_(self) -> str:
        return notebook.to_html(self._frame, self.lock)


def _remember(made: dict[str, Any]) -> Share:
    def share(name: str, convert: Callable[[], T]) -> T:
        if name not in made:
            made[name] = convert()
        return made[name]  # type: ignore[no-any-return]

    return share
