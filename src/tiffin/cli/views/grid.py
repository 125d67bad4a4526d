"""Rows of a frame as a table on the screen, with as many columns as fit."""

import polars as pl
from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.views import words

_WIDEST_CELL = 40
_PADDING = 3
"""Columns of the screen between two columns of the table."""


def grid(frame: pl.DataFrame, width: int) -> RenderableType:
    """Show the rows of a frame.

    Parameters
    ----------
    frame : DataFrame
        A few rows.
    width : int
        Columns of the screen. Columns of the frame that do not fit are named below.
    """
    cells = {column.name: [_cell(value) for value in column] for column in frame.iter_columns()}
    shown = _fitting(cells, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold cyan")
    for name in shown:
        is_number = frame.schema[name].is_numeric()
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, max_width=_WIDEST_CELL)
    for row in zip(*(cells[name] for name in shown), strict=True):
        table.add_row(*row)
    hidden = [name for name in cells if name not in shown]
    if not hidden:
        return table
    more = f"and {words.many(len(hidden), 'column')} more: {', '.join(hidden)}"
    return Group(table, Text(more, style="dim"))


def _fitting(cells: dict[str, list[Text]], width: int) -> list[str]:
    shown: list[str] = []
    used = 0
    for name, texts in cells.items():
        used += max([cell_len(name), *(text.cell_len for text in texts)], default=0) + _PADDING
        if shown and used > width:
            break
        shown.append(name)
    return shown


def _cell(value: object) -> Text:
    if value is None:
        return Text("null", style="dim italic")
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    if isinstance(value, bool):
        return Text(str(value).lower(), style="green" if value else "red")
    if isinstance(value, pl.Series):
        value = value.to_list()
    line = " ".join(str(value).split())
    cell = Text(line)
    cell.truncate(_WIDEST_CELL, overflow="ellipsis")
    return cell
