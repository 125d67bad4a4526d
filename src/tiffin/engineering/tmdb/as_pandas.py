"""A part as a pandas frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from polars import selectors

from tiffin.errors import MissingDependency

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Convert a part to pandas, with types that do not depend on whether a value happens to be null.

    Parameters
    ----------
    frame : DataFrame
        A part, with the key `movie_id`.

    Returns
    -------
    pandas.DataFrame
        `movie_id` as `int64`; flags and other whole numbers as pandas' nullable types (`boolean`, `Int16`, …); floats
        as `float64` with NaN for null; days as `datetime64[ms]`; tiers as ordered categories.

    Raises
    ------
    MissingDependency
        pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - heavy and optional
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "Features as pandas frames need pandas",
            hint="install tiffin[pandas], or use TMDBProcessor for Polars frames",
        ) from error
    import pyarrow as pa  # noqa: PLC0415 - heavy

    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
    }
    dated = frame.with_columns(selectors.date().cast(pl.Datetime("ms")))
    converted: pd.DataFrame = dated.to_arrow().to_pandas(types_mapper=nullable.get)
    return converted.astype({"movie_id": "int64"})
