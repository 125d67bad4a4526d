"""Profiles, for people."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.views import plots, words
from tiffin.cli.views import tables as views
from tiffin.quality.panels import of_values
from tiffin.quality.profiles.profile import ColumnProfile, Profile

_MEDIAN = "0.5"
_NUMBERS = ("nulls", "distinct", "min", "median", "max", "mean")


def profile(found: Profile, *, plot: bool) -> Iterator[RenderableType]:
    """Show what the values of a version look like, a line a column."""
    yield Text.assemble((found.name, "bold"), f" · {words.many(found.rows, 'row')}")
    if plot:
        yield from plots.plots([of_values(column, found.rows) for column in found.columns])
        return
    table = views.listing("column", "type", *_NUMBERS, "frequent", right=_NUMBERS)
    for each in found.columns:
        distinct = "" if each.distinct is None else f"{'' if each.is_exact else '~'}{words.count(each.distinct)}"
        table.add_row(
            Text(each.name, style="bold"),
            Text(each.dtype.partition("(")[0], style="dim"),
            Text(_missing(each), style="yellow" if each.nulls or each.nans else "dim"),
            distinct,
            *map(_short, (each.min, each.quantiles.get(_MEDIAN), each.max, each.mean)),
            ", ".join(f"{_short(common.value)} ({words.count(common.rows)})" for common in each.common[:3]),
        )
    yield table
    sampled = max((each.sampled or 0 for each in found.columns), default=0)
    if sampled:
        told = f"quantiles and frequent values are of {sampled:,} rows that were drawn by chance; ~ is an estimate"
        yield Text(told, style="dim")


def _missing(column: ColumnProfile) -> str:
    return words.count(column.nulls) + (f" + {words.count(column.nans)} NaN" if column.nans else "")


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else views.short(value)
