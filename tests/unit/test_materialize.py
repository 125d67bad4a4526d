"""Filling the online index: at a cost that follows the change, with bounded memory, from wherever it was left."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable

import tiffin
from tiffin.errors import InvalidInputError, NotOnline, TableNotFound
from tiffin.materialize import Materializer, layout
from tiffin.materialize.chunks import Files
from tiffin.materialize.newest import CREATED, TIMESTAMP, newest
from tiffin.online.lmdb import LmdbIndex

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", memory_cache_bytes=0, disk_cache_bytes=0, compact_files=0) as opened:
        yield opened


def events(*rows: tuple[int, int, float]) -> pl.DataFrame:
    """Rows of (entity, hours after now, value)."""
    schema = {"id": pl.Int64, "ts": pl.Datetime("us", "UTC"), "x": pl.Float64}
    return pl.DataFrame([(key, NOW + hours * HOUR, value) for key, hours, value in rows], schema, orient="row")


def save(store, frame, **options):
    return store.save("g/t", frame, **{"entity": "id", "timestamp": "ts", "online": True, **options})


def values(store, *keys, column="x", at=None):
    return store.prepare([f"g/t:{column}"]).read([{"id": key} for key in keys], at=at).to_dict()[column]


def index_of(store):
    return store._materializer.index


def table_id(store) -> str:
    return store._catalog.table(store._catalog.names()[0]).log.require().metadata.id


# Which row is the newest


def timed(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, {"id": pl.Int64, TIMESTAMP: pl.Int64, CREATED: pl.Int64, "x": pl.Int64}, orient="row")


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(1, 5, None, 0), (1, 3, None, 1)], [0]),  # the greatest time, not the last row
        ([(1, 5, None, 0), (1, 5, None, 1)], [1]),  # of equal times the later row
        ([(1, 5, 9, 0), (1, 5, 8, 1)], [0]),  # unless `created` says otherwise
        ([(1, 5, 9, 0), (1, 5, None, 1)], [0]),  # a null `created` loses
        ([(1, 10, None, 0), (1, 11, None, 1), (1, 3, None, 2), (1, 12, None, 3), (1, 12, None, 4)], [0, 1, 4]),
        ([(2, 11, None, 0), (1, 1, None, 1)], [1, 0]),  # sorted by entity; only the future is no reason to be left out
        ([(None, 1, None, 0), (1, None, None, 1)], []),  # null keys and times match nothing
        ([], []),
    ],
)
def test_the_newest_row_up_to_the_moment_is_kept_and_those_to_come(rows, kept):
    assert newest(timed(rows), ["id"], moment=10)["x"].to_list() == kept


def test_a_table_without_an_entity_is_one_series():
    assert newest(timed([(1, 5, None, 0), (2, 7, None, 1), (1, 6, None, 2)]), [], moment=10)["x"].to_list() == [1]


def test_rows_sorted_before_are_not_sorted_again_and_give_the_same():
    rows = timed([(1, 1, None, 0), (1, 2, 5, 1), (1, 2, 6, 2), (1, 20, None, 3), (2, None, None, 4), (2, 1, 1, 5)])
    assert newest(rows, ["id"], 10, is_sorted=True).equals(newest(rows, ["id"], 10))


# What it costs


def test_an_append_costs_what_was_appended(store):
    save(store, events(*((key, -2, 1.0) for key in range(5_000))))
    store._materializer = unreachable(store)
    store.save("g/t", events((7, -1, 2.0), (9_999, -1, 3.0)), mode="append")
    store.save("g/t", events((8, -1, 4.0)), mode="append")
    store._materializer = reachable(store)
    (done,) = store.materialize("g/t")
    assert (done.entities_written, done.rows_read, done.from_scratch) == (3, 3, False)
    assert values(store, 7, 8, 9_999, 1) == [2.0, 4.0, 3.0, 1.0]


def test_an_upsert_writes_the_entities_it_changed_though_their_file_was_rewritten(store):
    save(store, events(*((key, -2, 1.0) for key in range(5_000))))
    save(store, events(*((key, -2, 1.0) for key in range(5_000, 5_100))), mode="append")
    store._materializer = unreachable(store)
    store.save("g/t", events((5_001, -2, 2.0), (5_002, -2, 1.0)), mode="upsert")
    store._materializer = reachable(store)
    (done,) = store.materialize("g/t")
    assert (done.entities_written, done.rows_read, done.from_scratch) == (1, 1, False)


def test_nothing_is_read_where_nothing_has_changed(store):
    save(store, events((1, -1, 1.0)))
    save(store, events((2, -1, 1.0)), mode="append")
    assert store.compact("g/t")
    (done,) = store.materialize("g/t")
    assert (done.version, done.entities_written, done.rows_read) == (2, 0, 0)


def test_an_older_event_changes_nothing_online(store):
    save(store, events((1, -1, 1.0)))
    store.push("g/t", events((1, -2, 9.0)))
    assert values(store, 1) == [1.0]


def test_of_equal_times_the_later_commit_wins_or_what_was_created_later(store):
    save(store, events((1, -1, 1.0)))
    store.push("g/t", events((1, -1, 2.0)))
    assert values(store, 1) == [2.0]
    row = {"id": 1, "ts": NOW, "made": NOW - HOUR, "x": 1.0}
    store.save("g/t", [row], entity="id", timestamp="ts", created="made", evolve=True)
    for made, x, winner in (
        (NOW - 2 * HOUR, 2.0, 1.0),
        (None, 3.0, 1.0),
        (NOW - HOUR, 4.0, 4.0),
        (NOW, 5.0, 5.0),
        (datetime(1960, 1, 1, tzinfo=UTC), 6.0, 5.0),
    ):
        store.push("g/t", [{**row, "made": made, "x": x}])
        assert values(store, 1) == [winner], made
    store.push("g/t", [{**row, "id": 2, "made": None}])
    store.push("g/t", [{**row, "id": 2, "made": datetime(1960, 1, 1, tzinfo=UTC), "x": 7.0}])
    assert values(store, 2) == [7.0]


def test_rows_of_the_future_become_true_in_their_time(store):
    save(store, events((1, -1, 1.0), (1, 1, 2.0)))
    store.push("g/t", events((1, 2, 3.0)))
    assert [values(store, 1, at=NOW + hours * HOUR)[0] for hours in (0, 1, 1.5, 2)] == [1.0, 2.0, 2.0, 3.0]


def test_years_of_the_future_can_be_saved_at_once(store):
    assert save(store, events(*[(1, hours, float(hours)) for hours in range(5000)])).online_version == 0
    store.push("g/t", events((1, 4000, -1.0)))
    assert [values(store, 1, at=NOW + hours * HOUR)[0] for hours in (0, 3999, 4000, 9999)] == [
        0.0,
        3999.0,
        -1.0,
        4999.0,
    ]


def test_entities_that_an_overwrite_or_a_restore_took_away_are_gone(store):
    save(store, events((1, -1, 1.0), (2, -1, 1.0)))
    save(store, events((2, -2, 5.0)))
    assert values(store, 1, 2) == [None, 5.0]
    store.restore("g/t", 0)
    assert values(store, 1, 2) == [1.0, 1.0]


def test_entities_that_only_a_small_part_had_are_taken_out_one_by_one(store):
    save(store, events(*((key, -1, 1.0) for key in range(5_000))))
    save(store, events((1, 0, 2.0), (9_999, 0, 2.0)), mode="append")
    store._materializer = unreachable(store)
    store.restore("g/t", 0)
    store._materializer = reachable(store)
    (done,) = store.materialize("g/t")
    assert (done.entities_written, done.entities_removed, done.from_scratch) == (1, 1, False)
    assert values(store, 1, 9_999) == [1.0, None]


def test_what_another_program_deletes_is_deleted_online(store):
    save(store, events((1, -1, 1.0), (2, -1, 1.0)))
    save(store, events((3, -1, 1.0), (2, 0, 2.0)), mode="append")
    DeltaTable(store.path / "features" / "g" / "t").delete("id = 3 or (id = 2 and x = 2.0)")
    store.materialize("g/t")
    assert values(store, 1, 2, 3) == [1.0, 1.0, None]


def test_a_file_that_is_restored_before_another_does_not_win_against_it(store):
    """Nothing but an addition, and yet of equal times the rows that were there are the later ones."""
    save(store, events((1, -1, 1.0)))
    save(store, events((1, -1, 2.0), (2, -1, 2.0)), mode="append")
    save(store, events((1, -1, 3.0), (3, -1, 3.0)), mode="append")
    DeltaTable(store.path / "features" / "g" / "t").delete("x = 2.0")
    store.materialize("g/t")
    assert values(store, 1, 2, 3) == [3.0, None, 3.0]
    store.restore("g/t", 2)
    assert values(store, 1, 2, 3) == [3.0, 2.0, 3.0]


# Large tables


@pytest.mark.parametrize("kind", ["number", "text", "pair", "series"])
def test_a_table_is_filled_in_chunks_of_a_range_of_entities(store, kind):
    count = 3_000
    keys = {
        "number": {"id": pl.Series(range(count)).shuffle(1)},
        "text": {"id": pl.Series([f"{'x' * (number % 300)}{number}" for number in range(count)])},
        "pair": {"id": pl.Series(range(count)) % 50, "kind": pl.Series([f"k{number % 60}" for number in range(count)])},
        "series": {},
    }[kind]
    frame = pl.DataFrame({**keys, "ts": [NOW - number * HOUR for number in range(count)], "x": range(count)})
    entity = [*keys] or None
    for part in frame.iter_slices(1_000):
        store.save("g/t", part, entity=entity or [], timestamp="ts", mode="append")
    whole, parts = reachable(store), reachable(store, chunk_bytes=4096)
    store._materializer = store._plans.materializer = whole
    (done,) = store.materialize("g/t")
    before = online(store)
    store._materializer = store._plans.materializer = parts
    told = []
    (again,) = store.materialize("g/t", from_scratch=True, progress=lambda *step: told.append(step))
    assert online(store) == before
    assert again.entities_written == done.entities_written == (1 if kind == "series" else frame.n_unique(entity))
    assert again.rows_read == count
    assert len(told) > 1 or kind == "series"
    assert told == sorted(told)
    assert told[-1] == ("g/t", count, count)


def test_keys_too_long_for_the_index_are_told_apart_all_the_same(store):
    """Their order in the table is not that of their online keys, which end in a digest."""
    names = [f"{'x' * 490}{number:02}" for number in range(40)]
    store.save("g/t", pl.DataFrame({"id": names, "x": range(40)}), entity="id", online=True)
    store.push("g/t", pl.DataFrame({"id": names[::-3], "x": range(100, 114)}))
    expected = {**dict(zip(names, range(40), strict=True)), **dict(zip(names[::-3], range(100, 114), strict=True))}
    assert values(store, *names) == list(expected.values())


def test_each_chunk_is_about_as_large_as_asked_for(store):
    save(store, events(*((key, -1, float(key)) for key in range(20_000))))
    table = store._catalog.table(store._catalog.names()[0])
    state = table.log.require()
    files = Files(table, state.spec, list(state.files.values()), state.size_bytes // 10)
    cuts = files.ranges()
    assert len(cuts) == 10
    assert max(files.newest(0, cut).rows_read for cut in cuts) < 20_000 / 10 * 1.5


def test_a_load_that_was_interrupted_goes_on_where_it_stopped(store, monkeypatch):
    save(store, events(*((key, -1, key**0.5) for key in range(3_000))), online=False)
    store._materializer = store._plans.materializer = reachable(store, chunk_bytes=2048)
    read, reads = Files.newest, []

    def stop(*arguments):
        reads.append(1)
        if len(reads) > 4:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(Files, "newest", stop)
    with pytest.raises(KeyboardInterrupt):
        store.materialize("g/t")
    assert index_of(store).tables() == []
    monkeypatch.setattr(Files, "newest", read)
    (done,) = store.materialize("g/t")
    assert done.rows_read < 3_000
    assert index_of(store).count(table_id(store)) == 3_000
    assert store.verify("g/t").ok


def test_a_large_change_that_was_interrupted_is_made_to_its_end(store, monkeypatch):
    save(store, events(*((key, -1, 1.0) for key in range(3_000))))
    store._materializer = unreachable(store)
    save(store, events(*((key, 0, key**0.5) for key in range(3_000))), mode="append")
    store._materializer = store._plans.materializer = reachable(store, chunk_bytes=4096)
    apply, steps = LmdbIndex.apply, []

    def stop(*arguments):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return apply(*arguments)

    monkeypatch.setattr(LmdbIndex, "apply", stop)
    with pytest.raises(KeyboardInterrupt):
        store.materialize("g/t")
    assert index_of(store).head(table_id(store)).version == 0
    monkeypatch.setattr(LmdbIndex, "apply", apply)
    assert not store.materialize("g/t")[0].from_scratch
    assert values(store, 0, 1500, 2999) == [0.0, 1500**0.5, 2999**0.5]
    assert store.verify("g/t", sample=3000).ok


def test_rows_of_another_layout_are_not_built_upon(store):
    save(store, events((1, -1, 1.0)))
    state = store._catalog.table(store._catalog.names()[0]).log.require()
    head = layout.new(state.spec).head(state)
    assert layout.after(head, state) is not None
    for change in ({"entity": ("ts",)}, {"timestamp": None}, {"created": "ts"}, {"columns": state.spec.columns[:2]}):
        changed = replace(state)
        changed.know(msgspec.structs.replace(state.spec, **change))
        assert layout.after(head, changed) is None, change


# What is online


def test_materialize_puts_a_table_online_as_a_version_of_its_own(store):
    save(store, events((1, -1, 1.0)), online=False)
    with pytest.raises(NotOnline, match="g/t"):
        store.prepare(["g/t:x"])
    (done,) = store.materialize("t")
    assert (done.version, done.entities_written, done.from_scratch) == (1, 1, True)
    assert store.history("g/t")[0].operation == "online"
    assert store.describe("g/t").online
    assert store.materialize("g/t")[0].version == 1


def test_a_table_without_keys_cannot_be_online(store):
    store.save("g/t", [{"x": 1}])
    with pytest.raises(InvalidInputError, match="neither an entity nor a timestamp"):
        store.materialize("g/t")


def test_a_table_taken_offline_leaves_the_index_and_stays_away_when_restored(store):
    save(store, events((1, -1, 1.0)))
    commit = store.save("g/t", events((1, -1, 1.0)), mode="append", online=False)
    assert (commit.online_version, index_of(store).tables()) == (None, [])
    assert store.restore("g/t", 0).online_version is None
    with pytest.raises(NotOnline):
        store.get_online_features(["g/t:x"], [{"id": 1}])


def test_a_dropped_table_leaves_the_index(store):
    save(store, events((1, -1, 1.0)))
    store.drop("g/t")
    assert index_of(store).tables() == []
    with pytest.raises(TableNotFound):
        store.get_online_features(["g/t:x"], [{"id": 1}])


def test_materialize_removes_what_is_of_no_table(store, monkeypatch):
    save(store, events((1, -1, 1.0)))
    store.save("g/other", events((1, -1, 1.0)), entity="id", timestamp="ts", online=True)
    monkeypatch.setattr(Materializer, "forget", lambda *_: None)
    store.drop("g/t")
    monkeypatch.undo()
    assert len(index_of(store).tables()) == 2
    assert [done.table for done in store.materialize()] == ["g/other"]
    assert len(index_of(store).tables()) == 1


def test_a_feature_that_is_added_needs_no_new_rows_and_other_changes_do(store):
    save(store, events(*((key, -1, 1.0) for key in range(100))))
    store.save("g/t", events((5, 0, 2.0)).with_columns(more=pl.lit("m")), mode="append")
    assert values(store, 5, 6, column="more") == ["m", None]
    assert not store.materialize("g/t")[0].from_scratch
    widened = events((5, 0, 2.0)).with_columns(pl.col("x").cast(pl.Int64))
    assert save(store, widened, evolve=True).online_version == 2
    assert values(store, 5, 6) == [2, None]


def test_a_table_put_back_from_a_copy_is_filled_anew(store):
    """The log has the version of the watermark, but it is another one."""
    save(store, events((1, -1, 1.0)))
    save(store, events((1, -1, 2.0)), mode="append")
    folder = store.path / "features" / "g" / "t"
    (folder / "_delta_log" / f"{1:020}.json").unlink()
    again = tiffin.FeatureStore(store.path, disk_cache_bytes=0)
    again._materializer = unreachable(again)
    again.save("g/t", events((1, -1, 3.0)), mode="append")
    again._materializer = reachable(again)
    assert again.materialize("g/t")[0].from_scratch
    assert values(again, 1) == [3.0]


def test_a_date_is_its_midnight_and_keys_may_be_of_any_kind(store):
    today = NOW.date()
    rows = [{"day": today, "id": b"\0", "x": 1}, {"day": date(1900, 1, 1), "id": b"", "x": 2}]
    store.save("g/t", rows, entity="id", timestamp="day", online=True)
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    answer = store.prepare("g/t").read([{"id": b"\0"}, {"id": b""}], at=midnight)
    assert answer.to_dict()["x"] == [1, 2]
    assert answer.timestamps["x"] == [midnight, datetime(1900, 1, 1, tzinfo=UTC)]
    assert store.prepare("g/t").read([{"id": b"\0"}], at=midnight - timedelta(microseconds=1)).to_dict()["x"] == [None]


def test_of_two_that_fill_the_same_table_one_does_the_work(store):
    save(store, events(*((key, -1, 1.0) for key in range(2_000))), online=False)
    store.materialize("g/t")
    save(store, events(*((key, 0, 2.0) for key in range(2_000))), mode="append", online=None)
    index_of(store).reset()
    makers = [tiffin.FeatureStore(store.path) for _ in range(2)]
    done = []
    threads = [threading.Thread(target=lambda maker=maker: done.extend(maker.materialize("g/t"))) for maker in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.entities_written for one in done) == [0, 2_000]


def online(store) -> list[bytes]:
    """All that the index holds of the table."""
    index = index_of(store)
    keys = sorted(index.keys(table_id(store), 10_000))
    return [*keys, *index.get_many([(table_id(store), keys)])[0].rows]


def unreachable(store) -> Materializer:
    def open_index():
        raise tiffin.errors.OnlineUnavailable("out of reach")

    return Materializer(open_index, store._fs, store.path / "online")


def reachable(store, **options) -> Materializer:
    open_index = tiffin.FeatureStore(store.path)._materializer._open_index
    return Materializer(open_index, store._fs, store.path / "online", **options)
