"""Writes the tables of docs/dtypes.md from the cases; run it to print them anew."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from dtype_cases import ARROW, PANDAS, POLARS, Case

from tiffin.errors import InvalidInputError
from tiffin.frames import ingest
from tiffin.schema import dtypes

SECTIONS: dict[str, tuple[list[Case], Any]] = {
    "Polars": (POLARS, pl.DataFrame),
    "pandas": (PANDAS, pd.DataFrame),
    "Arrow": (ARROW, pa.table),
}


def table(section: str) -> str:
    """Draw the table of one library's types."""
    cases, frame_of = SECTIONS[section]
    head = "| saved as | comes back | in Polars | in Delta |\n|---|---|---|---|\n"
    return head + "\n".join(_row(case, frame_of({"x": case.values})) for case in cases)


def _row(case: Case, frame: Any) -> str:
    if case.outcome == "refused":
        with_advice = _advice(frame)
        return f"| {case.name} | **refused** | {with_advice} | |"
    dtype = ingest(frame).frame.schema["x"]
    delta = dtypes.delta_type(dtype)
    name = delta if isinstance(delta, str) else delta["type"]
    return f"| {case.name} | {case.outcome} | {_short(dtype)} | {name} |"


def _advice(frame: Any) -> str:
    try:
        dtypes.to_stored(ingest(frame).frame)
    except InvalidInputError as error:
        return error.hint
    raise AssertionError(frame)


def _short(dtype: pl.DataType) -> str:
    if dtype.is_nested() or isinstance(dtype, pl.Enum):
        return str(dtype.base_type().__name__)
    return dtypes.encode(dtype)


if __name__ == "__main__":
    for section in SECTIONS:
        print(f"## {section}\n\n{table(section)}\n")  # noqa: T201  # its purpose
