"""Joining one table to a spine, through the store: what a user of training frames relies on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    SchemaMismatch,
    TableNotFound,
    VersionNotFound,
)
from tiffin.schema.names import TableName, parse_reference
from tiffin.training import joining, stretches

NOON = datetime(2024, 3, 31, 12, tzinfo=UTC)
HOUR, US = timedelta(hours=1), timedelta(microseconds=1)
MOMENT = pl.Datetime("us", "UTC")


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0) as opened:
        yield opened


def save(store, rows, **options):
    """Save rows of (user, at, x)."""
    frame = pl.DataFrame(rows, {"user": pl.Int64, "at": MOMENT, "x": pl.Int64}, orient="row")
    return store.save("user/facts", frame, **{"entity": "user", "timestamp": "at", **options})


def join(store, users, times, features=("x",), version=None, **options):
    table, state = store._catalog.resolve(parse_reference("user/facts"))
    keys = users if isinstance(users, pl.DataFrame) else pl.DataFrame({"user": users})
    if times is not None and not isinstance(times, pl.Series):
        times = pl.Series("t", times)
    state = state if version is None else table.log.at(version)
    return joining.join(table, state, features, keys, times, **{"ttl": None, "known": None, **options})


def found(*args, **options) -> list:
    return join(*args, **options)["x"].to_list()


def test_each_row_gets_the_newest_row_of_its_entity_in_the_order_of_the_spine(store):
    save(store, [(1, NOON, 10), (1, NOON + HOUR, 11), (2, NOON, 20)])
    times = [NOON + 2 * HOUR, NOON, NOON - US, NOON + HOUR, NOON, NOON]
    assert found(store, [1, 1, 1, 1, 2, 3], times) == [11, 10, None, 11, 20, None]


def test_a_row_is_good_up_to_and_including_the_last_microsecond_of_its_ttl(store):
    save(store, [(1, NOON, 10)], ttl=HOUR)
    times = [NOON + HOUR - US, NOON + HOUR, NOON + HOUR + US]
    assert found(store, [1, 1, 1], times) == [10, 10, None]
    assert found(store, [1, 1, 1], times, ttl=2 * HOUR) == [10, 10, 10]
    assert found(store, [1, 1, 1], times, ttl=US) == [None, None, None]


def test_a_ttl_is_exact_in_the_far_future_too_beside_a_null(store):
    far = datetime(9999, 1, 1, tzinfo=UTC)
    save(store, [(1, NOON, 10)], ttl=far - NOON)
    assert found(store, [1, 1, 1], [far, None, far + US]) == [10, None, None]


def test_a_nanosecond_decides(store):
    save(store, [(1, NOON, 10)], ttl=HOUR)
    epoch_ns = int(NOON.timestamp()) * 10**9
    counts = [epoch_ns - 1, epoch_ns, epoch_ns + 1, epoch_ns + 3600 * 10**9, epoch_ns + 3600 * 10**9 + 1]
    for zone in (None, "Asia/Kolkata"):
        times = pl.Series("t", counts).cast(pl.Datetime("ns", zone))
        assert found(store, [1] * 5, times) == [None, 10, 10, 10, None]


def test_the_hour_that_comes_twice_in_autumn_is_told_apart(store):
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    save(store, [(1, first.astimezone(UTC), 10), (1, second.astimezone(UTC), 11)])
    times = pl.Series("t", [first, second], pl.Datetime("us", "Europe/Berlin"))
    assert found(store, [1, 1], times) == [10, 11]
    naive = pl.Series("t", [datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 27, 1, 30)])
    assert found(store, [1, 1], naive) == [10, 11]


def test_a_date_is_its_midnight(store):
    save(store, [(1, datetime(2024, 3, 31, tzinfo=UTC), 10), (1, datetime(2024, 3, 31, tzinfo=UTC) + US, 11)])
    assert found(store, [1, 1, 1], [date(2024, 3, 30), date(2024, 3, 31), date(2024, 4, 1)]) == [None, 10, 11]


def test_a_correction_wins_whether_appended_merged_or_beside_an_upsert_of_another(store):
    save(store, [(1, NOON, 10), (2, NOON, 20)])
    save(store, [(1, NOON, 11)], mode="append")
    assert found(store, [1], [NOON]) == [11]
    save(store, [(2, NOON, 21)], mode="upsert")
    assert found(store, [1, 2], [NOON, NOON]) == [11, 21]
    store.compact("user/facts")
    assert found(store, [1, 2], [NOON, NOON]) == [11, 21]
    assert found(store, [1, 2], [NOON, NOON], version=0) == [10, 20]


def test_a_null_feature_of_the_chosen_row_is_the_answer(store):
    save(store, [(1, NOON, 10), (1, NOON + HOUR, None)])
    assert found(store, [1], [NOON + HOUR]) == [None]


def test_a_table_without_a_timestamp_is_looked_up(store):
    save(store, [(2, None, 20), (1, None, 10), (1, None, 11), (None, None, 99)], timestamp=None)
    assert found(store, [1, 2, None, 3], None) == [11, 20, None, None]
    assert found(store, [1], [NOON], ttl=US) == [11]


def test_a_table_without_an_entity_is_one_series_for_all(store):
    save(store, [(1, NOON + HOUR, 11), (2, NOON, 10)], entity=[])
    got = found(store, pl.DataFrame(), [NOON, NOON + HOUR, NOON - US])
    assert got == [10, 11, None]


def test_a_table_with_neither_is_refused_and_so_is_a_spine_without_times(store):
    save(store, [(1, NOON, 10)], entity=[], timestamp=None)
    with pytest.raises(InvalidInputError, match="neither an entity nor a timestamp"):
        join(store, [1], [NOON])
    save(store, [(1, NOON, 10)], evolve=True)
    with pytest.raises(InvalidInputError, match="no times"):
        join(store, [1], None)
    with pytest.raises(SchemaMismatch, match="String, not times"):
        join(store, [1], ["2024-03-31"])
    with pytest.raises(FeatureNotFound, match="'y'"):
        join(store, [1], [NOON], ["y"])


def test_whole_floats_are_whole_numbers_and_others_are_refused(store):
    save(store, [(1, NOON, 10), (2**53 - 1, NOON, 11), (2**53, NOON, 12)])
    floats = pl.DataFrame({"user": [1.0, 2.0**53 - 1, float("nan"), None, -1.0]})
    assert found(store, floats, [NOON] * 5) == [10, 11, None, None, None]
    # The last may have been 2**53 + 1 before it was a float.
    for wrong in (1.5, float("inf"), 2.0**53):
        with pytest.raises(SchemaMismatch, match=r"row 1 of the spine") as caught:
            join(store, pl.DataFrame({"user": [1.0, wrong]}), [NOON] * 2)
        assert "astype('Int64')" in caught.value.hint


@pytest.mark.parametrize(
    "keys", [["1"], [True], [b"1"], [date(2024, 1, 1)], [timedelta(1)], [NOON], [[1]]], ids=lambda keys: repr(keys[0])
)
def test_keys_of_another_kind_are_refused_with_the_type_to_cast_to(store, keys):
    save(store, [(1, NOON, 10)])
    with pytest.raises(SchemaMismatch) as caught:
        join(store, keys, [NOON])
    assert caught.value.hint


def test_keys_that_are_finer_than_the_tables_or_do_not_fit_its_type_match_nothing(store):
    day = datetime(2024, 3, 31)
    frame = pl.DataFrame(
        {"day": [day.date()], "small": pl.Series([5], dtype=pl.Int8), "x": [1]}, schema_overrides={"x": pl.Int64}
    )
    store.save("user/facts", frame, entity=["day", "small"])
    midnight = int(day.replace(tzinfo=UTC).timestamp()) * 10**9
    days = pl.Series([midnight, midnight + 1, midnight, midnight]).cast(pl.Datetime("ns"))
    keys = pl.DataFrame({"day": days, "small": [5, 5, 261, None]})
    assert found(store, keys, None) == [1, None, None, None]
    far = pl.Series([2**62, midnight // 10**6]).cast(pl.Datetime("ms"))
    assert found(store, pl.DataFrame({"day": far, "small": [5.0, 5.0]}), None) == [None, 1]


def test_a_spine_lacking_a_key_column_is_told_which(store):
    save(store, [(1, NOON, 10)])
    with pytest.raises(SchemaMismatch, match="'user'"):
        join(store, pl.DataFrame({"usr": [1]}), [NOON])


def test_an_empty_spine_an_empty_table_and_a_spine_of_nulls_give_nulls_in_the_right_dtypes(store):
    save(store, [])
    assert join(store, pl.DataFrame({"user": pl.Series([], dtype=pl.Int64)}), []).schema == {"x": pl.Int64}
    assert found(store, [1, None], [NOON, NOON]) == [None, None]
    save(store, [(1, NOON, 10)])
    assert found(store, pl.DataFrame({"user": [None, None]}), [NOON, NOON]) == [None, None]
    assert found(store, [1], pl.Series("t", [None])) == [None]


def test_any_column_may_be_asked_for_and_the_time_of_the_match(store):
    save(store, [(1, NOON, 10)])
    got = join(store, [1, 2], [NOON + HOUR] * 2, ["at", "user", "x"], with_time=True)
    assert got.rows() == [(NOON, 1, 10, NOON), (None,) * 4]
    assert got.columns == ["at", "user", "x", "__timestamp"]


def test_values_come_back_in_the_dtypes_that_were_saved(store):
    frame = pl.DataFrame(
        {
            "user": [1, 2],
            "at": [NOON, NOON],
            "c": pl.Series(["a", None], dtype=pl.Categorical),
            "u": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
            "l": [[1.5, None], None],
            "d": pl.Series([timedelta(1), None], dtype=pl.Duration("ms")),
            "s": [{"a": 1, "b": "x"}, None],
        }
    )
    store.save("user/facts", frame, entity="user", timestamp="at")
    got = join(store, [2, 1, 9], [NOON] * 3, ["c", "u", "l", "d", "s"])
    assert got.schema == frame.select(got.columns).schema
    assert got[:2].equals(frame[::-1].select(got.columns))
    assert got.row(2) == (None,) * 5


def test_few_rows_of_many_keep_their_texts_and_lists(store):
    frame = pl.DataFrame(
        {
            "user": range(200),
            "t": [
                "a longer text than twelve bytes " * 3 + str(number) if number % 3 else None for number in range(200)
            ],
            "b": [bytes([number]) * number if number % 3 else None for number in range(200)],
            "l": [[str(number)] * (number % 4) if number % 5 else None for number in range(200)],
            "s": [{"a": number, "b": [{"c": str(number) * 9}]} if number % 7 else None for number in range(200)],
        }
    )
    store.save("user/facts", frame, entity="user")
    users = [150, 7, 0, 21]
    got = join(store, users, None, frame.columns)
    assert got.equals(frame[users])
    assert got.schema == frame.schema


def test_created_decides_what_was_known(store):
    rows = [
        (1, NOON, 10, NOON),
        (1, NOON, 11, NOON + 2 * HOUR),
        (1, NOON + HOUR, 12, NOON + 3 * HOUR),
        (1, NOON, 13, None),
    ]
    frame = pl.DataFrame(rows, {"user": pl.Int64, "at": MOMENT, "x": pl.Int64, "made": MOMENT}, orient="row")
    store.save("user/facts", frame, entity="user", timestamp="at", created="made")
    moments = [NOON - US, NOON, NOON + 2 * HOUR - US, NOON + 2 * HOUR, NOON + 3 * HOUR, None]
    known = pl.Series("known", moments)
    assert found(store, [1] * 6, [NOON + HOUR] * 6, known=known) == [None, 10, 10, 11, 12, None]
    assert found(store, [1], [NOON + HOUR], known=NOON + 2 * HOUR) == [11]
    assert found(store, [1], [NOON]) == [11]


def save_at(store, hour, rows, **options):
    """Save as if it were some hours after noon."""
    table = store._catalog.table(TableName("user", "facts"))
    table.log._clock = lambda: int((NOON + hour * HOUR).timestamp() * 1000) * 10**6
    return save(store, rows, **options)


def test_commits_decide_what_was_known_where_rows_do_not_say(store):
    save_at(store, 0, [(1, NOON, 10)])
    save_at(store, 1, [(1, NOON, 11)], mode="append")
    save_at(store, 2, [(1, NOON, 12)])
    store.restore("user/facts", 1)
    moments = [NOON - US, NOON, NOON + HOUR - US, NOON + HOUR, NOON + 2 * HOUR, NOON + 5 * HOUR, None]
    known = pl.Series("known", moments)
    assert found(store, [1] * 7, [NOON] * 7, known=known) == [None, 10, 10, 11, 12, 11, None]
    assert found(store, [1], [NOON], known=NOON + 2 * HOUR) == [12]
    assert found(store, [1], [NOON], known=NOON - HOUR) == [None]
    # A commit after the version that was asked for is not looked at.
    assert found(store, [1], [NOON], version=1, known=NOON + 2 * HOUR) == [11]
    assert found(store, [], [], known=NOON) == []


def test_a_file_that_is_written_anew_stays_in_its_place_in_what_was_known(store):
    save_at(store, 0, [(1, NOON, 10), (3, NOON, 30)])
    save_at(store, 1, [(1, NOON, 11), (2, NOON, 20)], mode="append")
    save_at(store, 2, [(3, NOON, 31)], mode="append")
    save_at(store, 3, [(2, NOON, 21)], mode="upsert")
    save_at(store, 4, [(3, NOON, 32)], mode="append")
    known = pl.Series("known", [NOON + hour * HOUR for hour in range(5)] * 3)
    users = [1] * 5 + [2] * 5 + [3] * 5
    want = [10, 11, 11, 11, 11, None, 20, 20, 21, 21, 30, 30, 31, 31, 32]
    assert found(store, users, [NOON] * 15, known=known) == want


def test_known_times_before_the_table_was_made_are_told_from_versions_that_were_vacuumed(store):
    for hour in range(4):
        save_at(store, hour, [(1, NOON, 10 + hour)])
    store.vacuum("user/facts", keep_versions=2)
    known = pl.Series("known", [NOON - US, NOON + 2 * HOUR, NOON + 3 * HOUR])
    assert found(store, [1] * 3, [NOON] * 3, known=known) == [None, 12, 13]
    with pytest.raises(VersionNotFound):
        join(store, [1, 1], [NOON] * 2, known=pl.Series("known", [NOON - HOUR, NOON + HOUR]))


def test_an_older_version_may_lack_a_column_or_have_a_narrower_one(store):
    save_at(store, 0, [(1, NOON, 10)])
    wide = pl.DataFrame({"user": [1], "at": [NOON], "x": [1.5], "y": ["new"]}, schema_overrides={"at": MOMENT})
    table = store._catalog.table(TableName("user", "facts"))
    table.log._clock = lambda: int((NOON + HOUR).timestamp()) * 10**9
    store.save("user/facts", wide, entity="user", timestamp="at", evolve=True)
    known = pl.Series("known", [NOON + HOUR, NOON, NOON - HOUR])
    got = join(store, [1, 1, 1], [NOON] * 3, ["y", "x"], known=known, with_time=True)
    assert got.rows() == [("new", 1.5, NOON), (None, 10.0, NOON), (None, None, None)]


def test_an_older_version_whose_values_do_not_fit_is_refused(store):
    save_at(store, 0, [(1, NOON, 10)])
    table = store._catalog.table(TableName("user", "facts"))
    table.log._clock = lambda: int((NOON + HOUR).timestamp()) * 10**9
    other = pl.DataFrame({"user": [1], "at": [NOON], "x": [True]}, schema_overrides={"at": MOMENT})
    store.save("user/facts", other, entity="user", timestamp="at", evolve=True)
    with pytest.raises(SchemaMismatch, match="'x'"):
        join(store, [1], [NOON], known=NOON)
    renamed = other.rename({"user": "account"})
    table.log._clock = lambda: int((NOON + 2 * HOUR).timestamp()) * 10**9
    store.save("user/facts", renamed, entity="account", timestamp="at", evolve=True)
    with pytest.raises(SchemaMismatch, match="'user'"):
        join(store, pl.DataFrame({"account": [1]}), [NOON], known=NOON + HOUR)


def test_a_table_that_was_dropped_meanwhile_is_not_mistaken_for_one_made_in_its_place(store):
    save_at(store, 0, [(1, NOON, 10)])
    save_at(store, 1, [(1, NOON, 11)], mode="append")
    table, state = store._catalog.resolve(parse_reference("user/facts"))
    asked = (["x"], pl.DataFrame({"user": [1]}), pl.Series("t", [NOON]))
    store.drop("user/facts")
    for known in (None, NOON):
        with pytest.raises(TableNotFound):
            joining.join(table, state, *asked, known=known)
    save_at(store, 0, [(1, NOON, 20)])
    save_at(store, 1, [(1, NOON, 21)], mode="append")
    for known in (None, NOON):
        with pytest.raises(TableNotFound):
            joining.join(table, state, *asked, known=known)


def test_progress_ends_with_all_done(store):
    save(store, [(1, NOON, 10)])
    save(store, [(2, NOON, 10)], mode="append")
    told = []
    join(store, [1, 2], [NOON] * 2, advance=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (4, 4)
    told.clear()
    join(store, [9], [NOON], advance=lambda done, total: told.append((done, total)))
    assert told == [(4, 4)]


def read_rows(monkeypatch) -> list[int]:
    """Note how many rows are read at a time from here on."""
    heights = []
    read = stretches.Stretch.read

    def noted(self, table, columns):
        heights.append(self.height)
        return read(self, table, columns)

    monkeypatch.setattr(stretches.Stretch, "read", noted)
    return heights


def test_files_that_cannot_match_are_passed_over(store, monkeypatch):
    save(store, [(user, NOON, user) for user in range(10)])
    save(store, [(user, NOON, user) for user in range(100, 107)], mode="append")
    save(store, [(user, NOON + 9 * HOUR, user) for user in range(3)], mode="append")
    heights = read_rows(monkeypatch)
    assert found(store, [101], [NOON]) == [101]
    assert heights == [7, 1]
    heights.clear()
    assert found(store, [1], [NOON]) == [1]
    assert heights == [10, 1]
    heights.clear()
    assert found(store, [50], [NOON]) == [None]
    assert not heights


def test_files_around_one_that_is_passed_over_are_not_taken_for_neighbours(store):
    save(store, [(1, NOON, 10), (2, NOON, 20)])
    save(store, [(7, NOON, 70)], mode="append")
    save(store, [(1, NOON + HOUR, 11), (2, NOON + HOUR, 21)], mode="append")
    users, times = [1, 2] * 50, [NOON, NOON + HOUR] * 50
    assert found(store, users, times) == [10, 21] * 50


def test_a_version_in_memory_is_not_read_again(store):
    save(store, [(1, NOON, 10), (2, NOON, 20)])
    store.read("user/facts")
    for path in store.files("user/facts"):
        (store.path / path).unlink()
    assert found(store, [2, 1, 3], [NOON] * 3, reader=store._reader) == [20, 10, None]
    with pytest.raises(CorruptData):
        join(store, [1], [NOON])


def test_a_damaged_file_is_an_error_and_never_a_wrong_number(store):
    save(store, [(user, NOON, user) for user in range(100)])
    (path,) = store.files("user/facts")
    data = bytearray((store.path / path).read_bytes())
    data[len(data) // 3] ^= 1
    (store.path / path).write_bytes(data)
    with pytest.raises(CorruptData, match="checksum"):
        join(store, [1], [NOON])


def test_a_table_in_stretches_gives_the_same_answers(store, monkeypatch):
    rows = [(number % 7, NOON + number * HOUR, number) for number in range(500)]
    save(store, rows)
    users, times = [number % 8 for number in range(60)], [NOON + number * 9 * HOUR for number in range(60)]
    want = join(store, users, times, with_time=True)
    with tiffin.FeatureStore(store.path, disk_cache_bytes=0, row_group_rows=64) as opened:
        save(opened, rows)
        monkeypatch.setattr(stretches, "_STRETCH_BYTES", 1)
        heights = read_rows(monkeypatch)
        got = join(opened, users, times, with_time=True)
    assert got.equals(want)
    assert len(heights) > 10
    assert max(heights) == 64
