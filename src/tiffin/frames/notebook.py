"""How a frame shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import polars as pl

ROWS = 10
"""Rows that are shown."""

MAX_TEXT = 60
"""Characters of a value that are shown."""


def title(shape: tuple[int, int], lock: Mapping[str, int]) -> str:
    """Say in one line how large a frame is and where it came from.

    Parameters
    ----------
    shape : tuple of two int
        Rows and columns.
    lock : mapping of str to int
        Table to version.

    Returns
    -------
    str
        Such as `FeatureFrame: 3 rows × 2 columns from user/ratings@4`.
    """
    sources = ", ".join(f"{table}@{version}" for table, version in lock.items())
    return f"FeatureFrame: {shape[0]:,} rows × {shape[1]:,} columns" + (f" from {sources}" if sources else "")


def to_html(frame: pl.DataFrame, lock: Mapping[str, int]) -> str:
    """Draw the first rows as an HTML table, every text in it escaped.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        The values.
    lock : mapping of str to int
        Table to version.

    Returns
    -------
    str
        A table with a caption, names and dtypes, at most `ROWS` rows, and a note on how many more there are.
    """
    names = _row("th", frame.columns)
    dtypes = _row("td", (str(dtype) for dtype in frame.dtypes))
    body = "".join(_row("td", map(_shown, row)) for row in frame.head(ROWS).iter_rows())
    more = f"<p>… {frame.height - ROWS:,} more rows</p>" if frame.height > ROWS else ""
    return (
        f"<div><table><caption>{escape(title(frame.shape, lock))}</caption>"
        f"<thead>{names}{dtypes}</thead><tbody>{body}</tbody></table>{more}</div>"
    )


def _row(tag: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
