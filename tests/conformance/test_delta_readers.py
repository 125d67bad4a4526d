"""Other Delta libraries read every version that Tiffin wrote, and Tiffin reads what they wrote into its tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import polars as pl
import pyarrow as pa
import pytest

import tiffin
from tiffin.errors import StorageError
from tiffin.tables.upkeep import Vacuumed

TABLE = "group/name"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ODD_TEXTS = [
    "plain",
    "a b",
    "a/b",
    "x=y",
    "50%",
    "%20",
    "naïve ✓",
    "O'Neil",
    'say "no"',
    "a:b",
    "..",
    "a\\b",
    "#?&",
    None,
]


def folder_of(store: tiffin.FeatureStore) -> str:
    return store.describe(TABLE).path


def by_delta_rs(folder: str, version: int) -> pl.DataFrame:
    """Ask the query engine of `deltalake` itself, which has a Parquet reader of its own."""
    table = deltalake.DeltaTable(folder, version=version)
    return pl.DataFrame(deltalake.QueryBuilder().register("t", table).execute("select * from t").read_all())


def by_polars(folder: str, version: int) -> pl.DataFrame:
    return pl.read_delta(folder, version=version)


def by_pyarrow(folder: str, version: int) -> pl.DataFrame:
    return pl.DataFrame(deltalake.DeltaTable(folder, version=version).to_pyarrow_dataset().to_table())


READERS: dict[str, Callable[[str, int], pl.DataFrame]] = {
    "deltalake": by_delta_rs,
    "polars": by_polars,
    "pyarrow": by_pyarrow,
}


def plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows in a form in which libraries agree: by name, in the order of `id`, zones as UTC."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    frame = frame.with_columns(pl.col(times).cast(pl.Datetime("us", "UTC"))) if times else frame
    return frame.select(sorted(frame.columns)).sort("id", *sorted(frame.columns)).to_dicts()


def rows(start: int, count: int = 4, **columns: Any) -> pl.DataFrame:
    ids = range(start, start + count)
    return pl.DataFrame(
        {
            "id": list(ids),
            "at": [NOON + timedelta(hours=number) for number in ids],
            "small": pl.Series([number % 100 for number in ids], dtype=pl.Int32),
            "value": [number / 7 if number % 3 else None for number in ids],
            "text": [f"text {number} ✓" for number in ids],
            "flag": [number % 2 == 0 for number in ids],
            "day": [date(2026, 1, 1) + timedelta(days=number) for number in ids],
            "list": [[number, None] for number in ids],
            **columns,
        }
    )


def every_kind_of_version(path: Path) -> tiffin.FeatureStore:
    """Make a table with a version of each kind, and checkpoints at every third."""
    store = tiffin.FeatureStore(path, checkpoint_every=3, compact_files=0, disk_cache_bytes=0)
    store.save(TABLE, rows(0), entity="id", timestamp="at", description="every kind", ttl=timedelta(days=3))
    store.save(TABLE, rows(4), mode="append")
    store.save(TABLE, rows(2).with_columns(value=pl.lit(-1.0)), mode="upsert")
    store.save(TABLE, rows(8).with_columns(small=pl.lit(2**40)), mode="append")
    store.save(TABLE, rows(12, added=[1.5, None, 2.5, float("inf")]), mode="append")
    store.compact(TABLE)
    store.save(TABLE, rows(16), mode="append", evolve=True)
    store.restore(TABLE, 1)
    store.save(TABLE, rows(20, other=["x", None, "", "z"]).drop("list", "small"), evolve=True)
    store.save(TABLE, rows(0, 0, other=pl.Series([], dtype=pl.String)).drop("list", "small"))
    store.save(TABLE, rows(24, other=["x", None, "", "z"]).drop("list", "small"), mode="append")
    return store


def partitioned(path: Path) -> tiffin.FeatureStore:
    """Make a table kept apart by texts with odd characters, numbers, truth values and dates, all with nulls."""
    store = tiffin.FeatureStore(path, checkpoint_every=2, disk_cache_bytes=0)
    count = len(ODD_TEXTS)
    frame = pl.DataFrame(
        {
            "id": range(count),
            "place": ODD_TEXTS,
            "number": [None, *range(-1, count - 2)],
            "flag": [None, *(number % 2 == 0 for number in range(count - 1))],
            "day": [None, *(date(2026, 1, 1) + timedelta(days=number) for number in range(count - 1))],
            "value": [number / 3 for number in range(count)],
        }
    )
    store.save(TABLE, frame, entity="id", partition_by=["place", "number", "flag", "day"])
    store.save(TABLE, frame.with_columns(pl.col("id") + 100), mode="append")
    store.save(TABLE, frame.with_columns(value=pl.lit(0.5)), mode="upsert")
    return store


TABLES = {"every kind of version": every_kind_of_version, "partitioned": partitioned}


@pytest.mark.parametrize("library", READERS)
@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
class TestOthersReadUs:
    def test_every_version_has_the_same_rows(
        self, tmp_path: Path, make: Callable[[Path], tiffin.FeatureStore], library: str
    ):
        store = make(tmp_path)
        versions = [commit.version for commit in store.history(TABLE)]
        assert len(versions) >= 3
        for version in versions:
            theirs = READERS[library](folder_of(store), version)
            assert plain(theirs) == plain(store.read(TABLE, version=version).to_polars()), version

    def test_every_version_that_a_vacuum_left_has_the_same_rows(
        self, tmp_path: Path, make: Callable[[Path], tiffin.FeatureStore], library: str
    ):
        store = make(tmp_path)
        (report,) = store.vacuum(TABLE, keep_versions=2)
        assert isinstance(report, Vacuumed)
        assert report.versions_removed
        versions = [commit.version for commit in store.history(TABLE)]
        assert len(versions) == 2
        for version in versions:
            theirs = READERS[library](folder_of(store), version)
            assert plain(theirs) == plain(store.read(TABLE, version=version).to_polars())


class TestDuckDB:
    def test_it_reads_the_latest_version_from_the_list_of_files(self, tmp_path: Path):
        store = every_kind_of_version(tmp_path)
        found = duckdb.sql(
            "select * from read_parquet($files, union_by_name => true)", params={"files": store.files(TABLE)}
        )
        assert plain(found.pl()) == plain(store.read(TABLE).to_polars())

    def test_it_reads_an_older_version_too(self, tmp_path: Path):
        store = every_kind_of_version(tmp_path)
        found = duckdb.sql("select * from read_parquet($files)", params={"files": store.files(f"{TABLE}@2")})
        assert plain(found.pl()) == plain(store.read(TABLE, version=2).to_polars())


class TestWhatOthersSee:
    def test_the_history_and_description_are_where_other_libraries_look(self, tmp_path: Path):
        store = every_kind_of_version(tmp_path)
        table = deltalake.DeltaTable(folder_of(store))
        assert table.version() == store.describe(TABLE).version
        assert [entry["version"] for entry in table.history()] == [commit.version for commit in store.history(TABLE)]
        assert all(entry["engineInfo"].startswith("tiffin/") for entry in table.history())


def fresh(path: Path, **settings: Any) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(path, disk_cache_bytes=0, **settings)


@pytest.fixture
def store(tmp_path: Path) -> tiffin.FeatureStore:
    store = fresh(tmp_path)
    store.save(TABLE, pl.DataFrame({"id": [1, 2, 3], "value": [1.0, 2.0, None]}), entity="id")
    return store


def theirs(ids: list[int], **columns: list[Any]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), **(columns or {"value": [float(number) for number in ids]})})


class TestWeReadOthers:
    def check(self, store: tiffin.FeatureStore) -> None:
        """Compare all versions with what `deltalake` reads, through this store and one that is opened now."""
        for anyone in (store, fresh(store.path)):
            for commit in anyone.history(TABLE):
                found = anyone.read(TABLE, version=commit.version, use_cache=False).to_polars()
                assert plain(found) == plain(by_delta_rs(folder_of(store), commit.version)), commit.version
        assert store.examine() == []

    def test_an_append_is_seen_at_once_and_can_be_built_upon(self, store: tiffin.FeatureStore):
        deltalake.write_deltalake(folder_of(store), theirs([4, 5]), mode="append")
        assert store.read(TABLE).to_polars()["id"].sort().to_list() == [1, 2, 3, 4, 5]
        assert store.save(TABLE, pl.DataFrame({"id": [6], "value": [6.0]}), mode="append").version == 2
        store.save(TABLE, pl.DataFrame({"id": [4], "value": [-4.0]}), mode="upsert")
        assert store.read(TABLE, entities=[4]).to_polars()["value"].to_list() == [-4.0]
        self.check(store)

    def test_an_overwrite(self, store: tiffin.FeatureStore):
        deltalake.write_deltalake(folder_of(store), theirs([7]), mode="overwrite")
        assert store.read(TABLE).to_polars()["id"].to_list() == [7]
        assert store.describe(TABLE).entity == ("id",)
        self.check(store)

    def test_an_overwrite_with_another_schema(self, store: tiffin.FeatureStore):
        deltalake.write_deltalake(
            folder_of(store), theirs([7], text=["seven"]), mode="overwrite", schema_mode="overwrite"
        )
        assert store.read(TABLE).to_polars().to_dicts() == [{"id": 7, "text": "seven"}]
        self.check(store)

    def test_an_append_with_a_new_column(self, store: tiffin.FeatureStore):
        deltalake.write_deltalake(
            folder_of(store), theirs([7], value=[7.0], text=["seven"]), mode="append", schema_mode="merge"
        )
        assert store.read(TABLE).to_polars().sort("id")["text"].to_list() == [None, None, None, "seven"]
        self.check(store)

    def test_a_delete_an_update_and_a_merge_of_files(self, store: tiffin.FeatureStore):
        table = deltalake.DeltaTable(folder_of(store))
        table.delete("id = 2")
        assert store.read(TABLE).to_polars()["id"].to_list() == [1, 3]
        table.update(updates={"value": "id * 10.0"}, predicate="id = 3")
        deltalake.write_deltalake(folder_of(store), theirs([8]), mode="append")
        deltalake.DeltaTable(folder_of(store)).optimize.compact()
        assert dict(store.read(TABLE, columns=["id", "value"]).to_polars().iter_rows()) == {1: 1.0, 3: 30.0, 8: 8.0}
        self.check(store)

    def test_an_overwrite_of_one_partition(self, tmp_path: Path):
        store = fresh(tmp_path)
        store.save(TABLE, pl.DataFrame({"id": [1, 2], "place": ["a b/c", "z"]}), entity="id", partition_by="place")
        deltalake.write_deltalake(
            folder_of(store),
            theirs([9], place=["z"]),
            mode="overwrite",
            predicate="place = 'z'",
            partition_by=["place"],
        )
        assert dict(store.read(TABLE).to_polars().iter_rows()) == {1: "a b/c", 9: "z"}
        self.check(store)

    def test_a_checkpoint_also_where_we_have_one(self, tmp_path: Path):
        store = fresh(tmp_path, checkpoint_every=2)
        for number in range(3):
            store.save(TABLE, pl.DataFrame({"id": [number]}), entity="id", mode="append")
        deltalake.DeltaTable(folder_of(store)).create_checkpoint()
        self.check(store)
        store.vacuum(keep_versions=1)
        deltalake.DeltaTable(folder_of(store)).create_checkpoint()
        assert fresh(tmp_path).read(TABLE).to_polars()["id"].to_list() == [0, 1, 2]
        assert fresh(tmp_path).save(TABLE, pl.DataFrame({"id": [3]}), mode="append").version == 3

    def test_a_log_that_was_shortened_by_another_library(self, store: tiffin.FeatureStore):
        for number in range(4, 8):
            deltalake.write_deltalake(folder_of(store), theirs([number]), mode="append")
        table = deltalake.DeltaTable(folder_of(store))
        table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
        table.create_checkpoint()
        table.cleanup_metadata()
        assert fresh(store.path).read(TABLE).to_polars()["id"].sort().to_list() == [1, 2, 3, 4, 5, 6, 7]
        assert store.read(TABLE).to_polars()["id"].sort().to_list() == [1, 2, 3, 4, 5, 6, 7]

    def test_a_table_that_another_library_made(self, tmp_path: Path):
        folder = tmp_path / "features" / "group" / "name"
        folder.mkdir(parents=True)
        deltalake.write_deltalake(str(folder), theirs([1, 2], text=["a", None]))
        store = fresh(tmp_path)
        assert [info.table for info in store.tables()] == [TABLE]
        store.save(TABLE, pl.DataFrame({"id": [3], "text": ["c"]}), mode="append")
        assert store.read(TABLE).to_polars()["id"].to_list() == [1, 2, 3]
        self.check(store)

    def test_vacuum_leaves_what_others_wrote_and_still_need(self, store: tiffin.FeatureStore):
        deltalake.write_deltalake(folder_of(store), theirs([4]), mode="append")
        stray = Path(folder_of(store)) / "part-00000-of-another-writer.snappy.parquet"
        stray.write_bytes(b"about to be committed")
        store.vacuum(keep_versions=1)
        assert stray.exists()
        assert store.read(TABLE, use_cache=False).to_polars()["id"].sort().to_list() == [1, 2, 3, 4]


def add_commit(store: tiffin.FeatureStore, *actions: dict[str, Any]) -> None:
    log = Path(folder_of(store)) / "_delta_log"
    version = store.describe(TABLE).version + 1
    (log / f"{version:020}.json").write_text("\n".join(map(json.dumps, actions)))


class TestWhatWeCannotRead:
    def test_deletion_vectors(self, store: tiffin.FeatureStore):
        features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
        add_commit(store, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
        for anyone in (store, fresh(store.path)):
            with pytest.raises(StorageError, match=r"group/name cannot be read: .*deletionVectors"):
                anyone.read(TABLE, use_cache=False)

    def test_column_mapping(self, store: tiffin.FeatureStore):
        first = json.loads((Path(folder_of(store)) / "_delta_log" / f"{0:020}.json").read_text().splitlines()[2])
        first["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"
        add_commit(store, {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}, first)
        for anyone in (store, fresh(store.path)):
            with pytest.raises(StorageError, match=r"group/name cannot be read: .*olumn"):
                anyone.read(TABLE, use_cache=False)

    def test_a_feature_of_the_future(self, store: tiffin.FeatureStore):
        features = {"readerFeatures": ["sorcery"], "writerFeatures": ["sorcery"]}
        add_commit(store, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
        with pytest.raises(StorageError, match="sorcery"):
            store.read(TABLE, use_cache=False)

    def test_writing_where_only_a_writer_needs_more(self, store: tiffin.FeatureStore):
        features = {"readerFeatures": [], "writerFeatures": ["changeDataFeed", "sorcery"]}
        add_commit(store, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
        assert store.read(TABLE, use_cache=False).to_polars().height == 3
        for change in (
            lambda: store.save(TABLE, pl.DataFrame({"id": [4], "value": [4.0]}), mode="append"),
            lambda: store.restore(TABLE, 0),
        ):
            with pytest.raises(StorageError, match=r"cannot be written to: .*sorcery"):
                change()

    def test_a_log_that_names_files_outside_the_table(self, store: tiffin.FeatureStore, tmp_path: Path):
        for path in ("../../secret.parquet", "/etc/passwd", "%2e%2e/secret.parquet", "file:///etc/passwd"):
            add = {"path": path, "partitionValues": {}, "size": 1, "modificationTime": 0, "dataChange": True}
            add_commit(store, {"add": add})
            with pytest.raises(StorageError, match="outside the table"):
                fresh(tmp_path).read(TABLE)
            (Path(folder_of_log(tmp_path)) / f"{1:020}.json").unlink()


def folder_of_log(path: Path) -> Path:
    return path / "features" / "group" / "name" / "_delta_log"


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_table_that_is_online_and_has_defaults_is_a_table_like_any_other(tmp_path, reader):
    store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
    rows = pl.DataFrame({"id": [1, 2], "mean": [1.5, None], "kind": ["a", None]})
    store.save(TABLE, rows, entity="id", online=True, defaults={"mean": 3.5, "kind": 'né "w"'})
    assert reader(folder_of(store), 0).select(rows.columns).sort("id").equals(rows)
    deltalake.write_deltalake(folder_of(store), rows.to_arrow(), mode="append")
    info = tiffin.FeatureStore(tmp_path).describe(TABLE)
    assert (info.version, info.online) == (1, True)
    assert [column.default for column in info.columns] == [None, 3.5, 'né "w"']
