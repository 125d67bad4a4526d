import datetime as dt
import decimal
import gzip
import io
import struct
import zlib

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidInputError, LimitError
from tiffin.frames import FeatureFrame, Lock, ingest
from tiffin.wire import Bounds, from_csv, from_parquet, from_stream, to_csv, to_parquet, to_stream

FRAME = pl.DataFrame(
    {
        "i8": pl.Series([1, None], dtype=pl.Int8),
        "u64": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
        "i128": pl.Series([2**100, None], dtype=pl.Int128),
        "f32": pl.Series([1.5, None], dtype=pl.Float32),
        "f64": [float("nan"), None],
        "text": ["ä", None],
        "bytes": [b"\xff", None],
        "bool": [True, None],
        "date": [dt.date(2020, 1, 1), None],
        "time": [dt.time(1, 2, 3, 4), None],
        "ns": pl.Series([1, None]).cast(pl.Datetime("ns")),
        "zoned": pl.Series([1, None]).cast(pl.Datetime("ms", "Europe/Paris")),
        "duration": pl.Series([1, None]).cast(pl.Duration("ns")),
        "category": pl.Series(["a", None], dtype=pl.Categorical),
        "enum": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
        "decimal": pl.Series([decimal.Decimal("1.20"), None], dtype=pl.Decimal(38, 2)),
        "list": [[1, None], None],
        "struct": [{"a": 1, "b": "x"}, None],
        "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int8, 2)),
        "enums": pl.Series([["a"], None], dtype=pl.List(pl.Enum(["a"]))),
        "null": pl.Series([None, None], dtype=pl.Null),
    }
)
BOUNDS = Bounds()


def there_and_back(frame: FeatureFrame, bounds: Bounds | None = None) -> FeatureFrame:
    return from_stream(b"".join(to_stream(frame)), bounds).frame


def written(table: pa.Table, **options: object) -> bytes:
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return stream.getvalue()


class TestStream:
    @pytest.mark.parametrize("bounds", [None, BOUNDS], ids=["trusted", "bounded"])
    def test_every_dtype_comes_back(self, bounds):
        back = there_and_back(FeatureFrame(FRAME), bounds).to_polars()
        assert back.schema == FRAME.schema
        assert back.equals(FRAME)

    @pytest.mark.parametrize("rows", [0, 1, 65_536, 65_537, 200_000])
    def test_every_number_of_rows_comes_back(self, rows):
        frame = pl.DataFrame({"a": pl.int_range(rows, eager=True), "c": pl.Series(["x"] * rows, dtype=pl.Categorical)})
        assert there_and_back(FeatureFrame(frame), BOUNDS).to_polars().equals(frame)

    def test_parts_of_a_frame_with_different_categories_come_back(self):
        parts = [pl.DataFrame({"c": pl.Series([word], dtype=pl.Categorical)}) for word in ("x", "y")]
        frame = pl.concat(parts, rechunk=False)
        assert there_and_back(FeatureFrame(frame)).to_polars()["c"].to_list() == ["x", "y"]

    def test_a_pandas_frame_comes_back(self):
        frame = pd.DataFrame(
            {"a": pd.array([1, None], dtype="Int8"), "c": pd.Categorical(["x", None], ["y", "x"]), "f": [1.0, None]}
        )
        found = ingest(frame)
        back = there_and_back(FeatureFrame(found.frame, origins=found.origins))
        pd.testing.assert_frame_equal(back.to_pandas(), frame)

    def test_an_arrow_table_of_others_keeps_its_types(self):
        table = pa.table({"a": pa.array([1], pa.uint8()), "d": pa.array(["x"]).dictionary_encode()})
        assert from_stream(written(table), BOUNDS).frame.to_arrow().schema.equals(table.schema)

    def test_the_lock_comes_back(self):
        back = there_and_back(FeatureFrame(FRAME, lock=Lock({"user/ratings": 3})))
        assert back.lock == {"user/ratings": 3}

    def test_the_number_of_all_rows_is_told(self):
        assert from_stream(b"".join(to_stream(FeatureFrame(FRAME), total_rows=7))).total_rows == 7

    def test_others_can_read_it(self):
        table = pa.ipc.open_stream(b"".join(to_stream(FeatureFrame(FRAME)))).read_all()
        assert table.num_rows == 2
        assert table.column("text").to_pylist() == ["ä", None]


class TestHostileStream:
    @given(st.data())
    def test_a_changed_byte_is_refused_or_harmless(self, data):
        whole = bytearray(b"".join(to_stream(FeatureFrame(FRAME.select("i8", "text", "list", "enum")))))
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        try:
            frame = from_stream(bytes(whole), Bounds(rows=100, size_bytes=10_000)).frame
        except (InvalidInputError, LimitError):
            return
        frame.to_polars().write_ipc_stream(io.BytesIO())

    @pytest.mark.parametrize("size", [0, 1, 7, 100, 500])
    def test_a_cut_off_stream_is_refused(self, size):
        with pytest.raises(InvalidInputError):
            from_stream(b"".join(to_stream(FeatureFrame(FRAME)))[:size], BOUNDS)

    @pytest.mark.parametrize("codec", ["zstd", "lz4"])
    def test_compressed_batches_are_refused(self, codec):
        table = pa.table({"a": pa.array([0] * 100_000), "d": pa.array(["x"] * 100_000).dictionary_encode()})
        with pytest.raises(InvalidInputError, match="compressed"):
            from_stream(written(table, compression=codec), BOUNDS)

    def test_too_many_rows_are_refused(self):
        with pytest.raises(LimitError, match="rows"):
            from_stream(written(pa.table({"a": [1, 2, 3]})), Bounds(rows=2))

    @pytest.mark.parametrize(
        "column",
        [
            pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int8()), pa.array(["x" * 10_000])),
            pa.RunEndEncodedArray.from_arrays(pa.array([10_000], pa.int32()), pa.array(["x" * 10_000])),
            pl.Series(["x" * 10_000]).gather([0] * 10_000).to_arrow(compat_level=pl.CompatLevel.newest()),
            pa.nulls(10_000_000),
        ],
        ids=["dictionary", "runs", "views", "nulls"],
    )
    def test_few_bytes_that_stand_for_many_are_refused(self, column):
        body = written(pa.table({"a": column}))
        with pytest.raises((LimitError, InvalidInputError)):
            from_stream(body, Bounds(size_bytes=50_000_000))

    def test_metadata_of_another_kind_is_refused(self):
        table = pa.table({"a": [1]}).replace_schema_metadata({"tiffin": "[]"})
        with pytest.raises(InvalidInputError):
            from_stream(written(table), BOUNDS)

    def test_a_message_that_points_outside_itself_is_refused(self):
        body = written(pa.table({"a": [1]}))
        with pytest.raises(InvalidInputError):
            from_stream(body[:8] + struct.pack("<I", 2**31) + body[12:], BOUNDS)


class TestFiles:
    def test_parquet_comes_back(self):
        frame = FRAME.drop("null", "i128", "enums", "enum", "category", "array", "time", "duration")
        assert from_parquet(to_parquet(FeatureFrame(frame)), BOUNDS).to_polars().equals(frame)

    def test_a_parquet_file_of_very_many_equal_values_is_refused(self):
        stream = io.BytesIO()
        pq.write_table(pa.table({"a": pa.repeat("x" * 1000, 60_000)}), stream)
        assert len(stream.getvalue()) < 90_000
        with pytest.raises(LimitError):
            from_parquet(stream.getvalue(), Bounds(size_bytes=30_000_000))

    @pytest.mark.parametrize("kind", ["list", "struct"])
    def test_neither_is_it_read_where_they_stand_inside_of_others(self, kind):
        texts = pa.repeat("x" * 1000, 60_000)
        whole = pa.array(range(0, 60_001, 20), pa.int32())
        column = (
            pa.ListArray.from_arrays(whole, texts) if kind == "list" else pa.StructArray.from_arrays([texts], ["q"])
        )
        stream = io.BytesIO()
        pq.write_table(pa.table({"a": column}), stream, row_group_size=1500)
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        try:
            with pytest.raises(LimitError):
                from_parquet(stream.getvalue(), Bounds(size_bytes=15_000_000))
        finally:
            pa.set_memory_pool(usual)
        assert pool.max_memory() < 15_000_000
        assert from_parquet(stream.getvalue(), BOUNDS).to_polars()["a"].dtype.is_nested()

    @pytest.mark.parametrize("is_fixed", [True, False])
    def test_long_values_are_refused_before_they_are_decoded(self, is_fixed):
        kind = pa.binary(100_000) if is_fixed else pa.binary()
        stream = io.BytesIO()
        pq.write_table(pa.table({"a": pa.array([bytes(100_000)] * 200, kind)}), stream, use_dictionary=is_fixed)
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        try:
            with pytest.raises(LimitError):
                from_parquet(stream.getvalue(), Bounds(size_bytes=10_000_000))
        finally:
            pa.set_memory_pool(usual)
        assert pool.max_memory() < 1_000_000
        assert len(from_parquet(stream.getvalue(), BOUNDS)) == 200

    def test_long_values_of_fixed_length_in_lists_are_refused(self):
        column = pa.array([[bytes(1000)] * 10], pa.list_(pa.binary(1000)))
        stream = io.BytesIO()
        pq.write_table(pa.table({"a": column}), stream)
        with pytest.raises(InvalidInputError, match="fixed length in lists"):
            from_parquet(stream.getvalue(), BOUNDS)

    def test_too_many_rows_are_refused(self):
        with pytest.raises(LimitError):
            from_parquet(to_parquet(FeatureFrame(FRAME.select("i8"))), Bounds(rows=1))

    def test_what_is_no_parquet_file_is_refused(self):
        with pytest.raises(InvalidInputError):
            from_parquet(b"PAR1 no PAR1", BOUNDS)

    def test_csv_comes_as_text(self):
        frame = pl.DataFrame({"a": [1, None], "b": ["x, y", "z"]})
        assert to_csv(FeatureFrame(frame)) == b'a,b\n1,"x, y"\n,z\n'
        back = from_csv(to_csv(FeatureFrame(frame)), BOUNDS).to_polars()
        assert back.to_dict(as_series=False) == {"a": ["1", None], "b": ["x, y", "z"]}

    @pytest.mark.parametrize("line", [b"1,2,3", b"1", b'"1,2"', b'"1'])
    def test_a_csv_file_with_ragged_lines_is_refused(self, line):
        with pytest.raises(InvalidInputError, match="no CSV"):
            from_csv(b"a,b\n5,6\n" + line + b"\n", BOUNDS)

    def test_the_last_line_of_csv_need_not_end(self):
        assert from_csv(b"a,b", BOUNDS).to_polars().rows() == []
        assert from_csv(b"a,b\n1,2", BOUNDS).to_polars().rows() == [("1", "2")]

    @pytest.mark.parametrize("filler", [b"\n", b","])
    def test_cells_of_csv_are_bounded_before_they_are_made(self, filler):
        with pytest.raises(LimitError):
            from_csv(b"a\n" + filler * 10_000, Bounds(size_bytes=50_000))

    def test_empty_lines_of_csv_are_nulls_of_one_column_and_nothing_of_more(self):
        assert from_csv(b"a\n1\n\n2\n", BOUNDS).to_polars()["a"].to_list() == ["1", None, "2"]
        assert from_csv(b"a,b\n1,2\n\n3,4\n\n", BOUNDS).to_polars().rows() == [("1", "2"), ("3", "4")]

    def test_what_csv_has_no_form_for_is_refused(self):
        with pytest.raises(InvalidInputError, match="no form"):
            to_csv(FeatureFrame(FRAME))


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
def test_csv_is_never_decompressed_behind_the_bounds(compress):
    with pytest.raises(InvalidInputError, match="no CSV"):
        from_csv(compress(b"a\n" + b"1\n" * 1000), Bounds())


def test_names_in_csv_are_those_that_were_written():
    frame = FeatureFrame(pl.DataFrame({'a "b"': ["1"], "c,d": ["2"], '"': ["3"]}))
    assert from_csv(to_csv(frame), Bounds()).columns == frame.columns
    with pytest.raises(InvalidInputError, match="two columns"):
        from_csv(b"a,a\n1,2\n", Bounds())


def test_a_name_that_ends_early_in_c_is_refused():
    inner = pa.table({"a": pa.array([{"b\0": 1}], pa.struct([("b\0", pa.int64())]))})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, inner.schema) as writer:
        writer.write_table(inner)
    with pytest.raises(InvalidInputError, match="name of a column"):
        from_stream(sink.getvalue(), Bounds())
