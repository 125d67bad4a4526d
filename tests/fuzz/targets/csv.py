"""CSV from who is not trusted: refused, or texts that are read as a table's columns, or refused as those."""

from __future__ import annotations

import polars as pl

from fuzz.frame_checks import BOUNDS, check_frame
from tiffin.errors import TiffinError
from tiffin.frames import FeatureFrame
from tiffin.frames.texts import as_meant
from tiffin.wire import from_csv, to_csv

MOST_BYTES = 2048

KNOWN: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "real": pl.Float32(),
    "flag": pl.Boolean(),
    "at": pl.Datetime("us", "UTC"),
    "day": pl.Date(),
    "amount": pl.Decimal(10, 2),
    "list": pl.List(pl.Int8()),
    "raw": pl.Binary(),
    "took": pl.Duration("us"),
}


def check(data: bytes) -> None:
    try:
        frame = from_csv(data, BOUNDS)
        assert set(frame.schema.values()) <= {pl.String()}
        check_frame(frame)
        again = from_csv(to_csv(frame), BOUNDS)
        meant = as_meant(frame.to_polars(), KNOWN, ["time"])
    except TiffinError:
        return
    assert again.to_polars().equals(frame.to_polars())
    assert all(meant.schema[name] == KNOWN[name] for name in meant.columns if name in KNOWN)
    assert meant.height == frame.shape[0]
    check_frame(FeatureFrame(meant))
