"""An entity is found whatever the type of its key, in whichever file and row group it lies."""

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import deltalake
import polars as pl
import pytest

import tiffin

RANDOM = random.Random(1)
KEYS = {
    "int": (pl.Int64(), [RANDOM.randint(-(2**62), 2**62) for _ in range(40)]),
    "unsigned": (pl.UInt64(), [RANDOM.randint(0, 2**64 - 1) for _ in range(40)]),
    "wide": (pl.Int128(), [RANDOM.randint(-(10**37), 10**37) for _ in range(40)]),
    "text": (
        pl.String(),
        [RANDOM.choice(["a", "Z", "é", "😀", ""]) * RANDOM.randint(0, 90) + str(n) for n in range(40)],
    ),
    "bytes": (pl.Binary(), [RANDOM.randbytes(n % 5 + 1) + bytes([n]) for n in range(40)]),
    "date": (pl.Date(), [date(1, 1, 1) + timedelta(days=9000 * n) for n in range(40)]),
    "moment": (pl.Datetime("us", "UTC"), [datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=9000 * n) for n in range(40)]),
    "naive": (pl.Datetime("ns"), [datetime(1700, 1, 1) + timedelta(days=2000 * n, microseconds=n) for n in range(40)]),
    "time": (pl.Time(), [time(n % 24, n, 1, n) for n in range(40)]),
    "duration": (pl.Duration("us"), [timedelta(days=n - 20, microseconds=n) for n in range(40)]),
    "decimal": (pl.Decimal(20, 3), [Decimal(RANDOM.randint(-(10**9), 10**9)) / 1000 for _ in range(40)]),
    "enum": (pl.Enum([f"c{n:02}" for n in reversed(range(40))]), [f"c{n:02}" for n in range(40)]),
    "category": (pl.Categorical(), [f"k{n}" for n in range(40)]),
    "boolean": (pl.Boolean(), [True, False] * 20),
}


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", row_group_rows=4, compact_files=0) as opened:
        yield opened


@pytest.mark.parametrize("kind", KEYS)
def test_every_key_is_found_and_can_be_replaced(store, kind):
    dtype, keys = KEYS[kind]
    rows = pl.DataFrame({"key": pl.Series([*keys, None], dtype=dtype), "x": range(41)})
    for start in range(0, 41, 9):
        store.save("g/t", rows[start : start + 9], entity="key", mode="append")
    wanted: dict = {}
    for number, key in enumerate(keys):
        wanted.setdefault(key, []).append(number)
    for key, numbers in wanted.items():
        found = store.read("g/t", entities=[key], use_cache=False).to_polars()
        assert found["x"].to_list() == numbers, key
    fresh = rows.head(40).unique("key", keep="first", maintain_order=True).with_columns(pl.col("x") + 1000)
    commit = store.save("g/t", fresh, mode="upsert")
    assert (commit.rows, commit.rows_removed) == (fresh.height + 1, 40)
    assert sorted(store.read("g/t").to_polars()["x"].to_list()) == sorted([40, *fresh["x"].to_list()])


def test_bounds_that_another_writer_cut_short_hide_no_row(store):
    moments = [datetime(year, 1, 1, 0, 0, 0, 123456, tzinfo=UTC) for year in (2024, 2025)]
    store.save("g/t", pl.DataFrame({"key": moments[:1], "x": [1]}), entity="key")
    # Its statistics end at the millisecond: 123456 microseconds lie beyond its own maximum.
    deltalake.write_deltalake(store.describe("g/t").path, pl.DataFrame({"key": moments[1:], "x": [2]}), mode="append")
    for moment, x in zip(moments, (1, 2), strict=True):
        assert store.read("g/t", entities=[moment], use_cache=False).to_polars()["x"].to_list() == [x]


def test_a_key_given_in_another_zone_is_the_same_moment(store):
    moments = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    rows = pl.DataFrame({"key": moments, "x": [1, 2]}).with_columns(pl.col("key").dt.convert_time_zone("Asia/Seoul"))
    store.save("g/t", rows, entity="key")
    assert store.read("g/t", entities=moments[1:]).to_polars()["x"].to_list() == [2]
