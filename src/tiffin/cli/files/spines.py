"""Spines in: a file whose keys and times get the types that the tables have for them."""

from collections.abc import Iterable

import polars as pl

from tiffin.cli.arguments.asked import Keys
from tiffin.cli.files import intake
from tiffin.cli.files.formats import Format

_USUAL_TIME = "event_timestamp"


def read(file: str, form: Format | None, keys: Keys, times: Iterable[str]) -> pl.DataFrame:
    """Read the rows that are to be enriched.

    Parameters
    ----------
    file : str
        A file, or `-` for standard input.
    form : Format or None
        Its format, where the name does not tell.
    keys : Keys
        Of the tables that are asked for. A column named like a table's timestamp holds times.
    times : iterable of str
        Other columns that hold times.

    Returns
    -------
    DataFrame
    """
    named = {_USUAL_TIME, *keys.times, *times}
    return intake.read(file, form, known=keys.entity, times=sorted(named.difference(keys.entity)))
