"""The leakage check: planted leaks of every kind are found, and nothing is said of clean data."""

import json
import random
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiffin
from tiffin.errors import FeatureNotFound, InvalidInputError

ROWS = 400
CHANCE = random.Random(3)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)
"""Later than any commit."""


def noise() -> list[float]:
    return [CHANCE.random() for _ in range(ROWS)]


LABEL = [value > 0.6 for value in noise()]


def spine(times=FAR_OFF, label=LABEL) -> pl.DataFrame:
    times = times if isinstance(times, list) else [times + timedelta(seconds=n) for n in range(ROWS)]
    return pl.DataFrame({"user_id": range(ROWS), "event_timestamp": times, "churned": label})


def features(days=0, **columns) -> pl.DataFrame:
    times = [LONG_AGO + timedelta(days=days, seconds=n) for n in range(ROWS)]
    names = [CHANCE.choice("abc") for _ in range(ROWS)]
    return pl.DataFrame({"user_id": range(ROWS), "at": times, "x": noise(), "kind": names, **columns})


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


def save(store, frame, **how):
    return store.save("user/f", frame, **{"entity": "user_id", "timestamp": "at", **how})


def found(report) -> dict[str, tuple]:
    return {finding.check: (finding.severity, finding.features, finding.rows) for finding in report.findings}


# Times


def test_nothing_is_said_of_clean_data(store):
    save(store, features())
    store.save("user/facts", features().drop("at"), entity="user_id")
    store.save("all/day", [{"at": LONG_AGO, "load": 1.5}], timestamp="at")
    report = store.check_leakage(spine(), ["user/f:x", "f:kind", "all/day", "facts:kind"], label="churned")
    assert report.ok
    assert report.findings == ()
    assert report.unchecked == ()
    assert report.rows == ROWS
    assert report.features == ("user/f:x", "user/f:kind", "all/day:load", "user/facts:kind")
    assert str(report).startswith("0 warnings, 0 notes: 4 features")


def test_a_table_without_times_is_looked_up_in_its_later_state(store):
    commit = store.save("user/facts", features().drop("at"), entity="user_id")
    half = [LONG_AGO] * 100 + [commit.timestamp] * 50 + [FAR_OFF] * 250
    report = store.check_leakage(spine(half), ["facts:x"], label="churned")
    assert found(report) == {"lookup_sees_later": ("warning", (), 100)}
    [finding] = report.findings
    assert (finding.table, finding.share) == ("user/facts", 0.25)
    assert finding.examples[0] == {"user_id": 0, "event_timestamp": LONG_AGO, "churned": LABEL[0]}
    assert len(finding.examples) == 3
    assert store.check_leakage(spine(half), ["facts:x"], label="churned", known_at="event_timestamp").ok
    assert not store.check_leakage(spine(half), ["facts:x"], label="churned", known_at=FAR_OFF).ok


def test_entities_that_the_table_lacks_saw_nothing(store):
    store.save("user/facts", features().drop("at").head(30), entity="user_id")
    report = store.check_leakage(spine(LONG_AGO), ["facts:x"], label="churned")
    assert found(report) == {"lookup_sees_later": ("warning", (), 30)}


def test_a_pinned_version_was_committed_when_it_was(store):
    first = store.save("user/facts", features().drop("at"), entity="user_id")
    store.save("user/facts", features().drop("at"), entity="user_id")
    assert store.check_leakage(spine([first.timestamp] * ROWS), ["user/facts@0:x"], label="churned").ok


def test_rows_made_after_the_label_are_found(store):
    late = [FAR_OFF + timedelta(days=1) if n < 7 else None if n < 9 else LONG_AGO for n in range(ROWS)]
    late[9:20] = spine()["event_timestamp"][9:20]
    save(store, features(made=late), created="made")
    report = store.check_leakage(spine(), ["f:x"], label="churned")
    assert found(report) == {"known_later": ("warning", (), 7)}
    assert report.findings[0].examples[0]["created"] == FAR_OFF + timedelta(days=1)
    assert "known_at='event_timestamp'" in report.findings[0].advice
    assert store.check_leakage(spine(), ["f:x"], label="churned", known_at="event_timestamp").ok


def test_values_committed_after_the_label_are_found(store):
    frame = features()
    first = save(store, frame)
    corrected = frame.with_columns(x=pl.when(pl.col("user_id") < 11).then(-1.0).otherwise("x"))
    last = save(store, corrected)
    then = spine([first.timestamp] * 200 + [last.timestamp] * 200)
    report = store.check_leakage(then, ["f:x", "f:kind"], label="churned")
    assert found(report) == {"known_later": ("warning", ("x",), 11)}
    [finding] = report.findings
    assert finding.by_feature == {"x": 11}
    assert finding.share == 11 / 200
    known = store.check_leakage(then, ["f:x"], label="churned", known_at="event_timestamp")
    assert found(known) == {"naive_join": ("note", ("x",), 11)}


def test_a_feature_that_came_after_the_label_is_found(store):
    first = save(store, features())
    save(store, features(new=noise()), evolve=True)
    report = store.check_leakage(spine([first.timestamp] * ROWS), ["f:new"], label="churned")
    assert found(report)["known_later"] == ("warning", ("new",), ROWS)


def test_versions_with_other_keys_or_types_are_no_obstacle(store):
    frame = features()
    first = save(store, frame.with_columns(user_id=pl.col("user_id").cast(pl.String)))
    second = save(store, frame.with_columns(x=pl.lit([1.5])), evolve=True)
    third = save(store, frame.with_columns(x=pl.lit(1, pl.Int8)), evolve=True)
    save(store, frame.with_columns(x=pl.lit(1, pl.Int64)))
    times = [first.timestamp] * 100 + [second.timestamp] * 100 + [third.timestamp] * 200
    report = store.check_leakage(spine(times), ["f:x"], label="churned")
    assert found(report) == {"known_later": ("warning", ("x",), 100)}
    assert report.findings[0].share == pytest.approx(100 / 300)


def test_many_versions_are_sampled(store):
    frame = features()
    commits = [save(store, frame.with_columns(x=pl.lit(float(n)))) for n in range(20)]
    times = [commits[n % 20].timestamp for n in range(ROWS)]
    report = store.check_leakage(spine(times), ["f:x"], label="churned")
    [finding] = report.findings
    assert finding.check == "known_later"
    assert finding.share == 1.0
    assert 100 <= finding.rows <= ROWS


def test_labels_before_the_first_version_are_noted(store):
    save(store, features())
    report = store.check_leakage(spine(LONG_AGO + timedelta(days=30)), ["f:x"], label="churned")
    assert found(report) == {"imported_later": ("note", (), ROWS)}
    assert report.ok
    assert [note.check for note in report.notes] == ["imported_later"]


@pytest.mark.parametrize("share", [0.9, 0.96])
def test_features_of_the_label_s_own_time_are_found(store, share):
    same = [FAR_OFF + timedelta(seconds=n - (n >= share * ROWS)) for n in range(ROWS)]
    save(store, features().with_columns(at=pl.Series(same)))
    report = store.check_leakage(spine(), ["f:x"], label="churned")
    assert found(report) == ({"same_time": ("warning", (), share * ROWS)} if share > 0.95 else {})
    assert not store.check_leakage(spine(), ["f:x"], label="churned", same_time=0.9).ok


def test_times_are_equal_only_to_the_nanosecond(store):
    times = [FAR_OFF + timedelta(seconds=n) for n in range(ROWS)]
    save(store, features().with_columns(at=pl.Series(times)))
    for zone, moved, is_same in (("UTC", 0, True), ("Asia/Seoul", 0, True), ("UTC", 1, False)):
        fine = (pl.Series(times).cast(pl.Datetime("ns", "UTC")).to_physical() + moved).cast(pl.Datetime("ns", "UTC"))
        rows = spine().with_columns(event_timestamp=fine.dt.convert_time_zone(zone))
        assert store.check_leakage(rows, ["f:x"], label="churned").ok != is_same


def test_dates_are_their_midnights(store):
    days = [date(2100, 1, 1) + timedelta(days=n) for n in range(ROWS)]
    save(store, features().with_columns(at=pl.Series(days).cast(pl.Datetime("us", "UTC"))))
    rows = spine().with_columns(event_timestamp=pl.Series(days))
    assert not store.check_leakage(rows, ["f:x"], label="churned").ok


def test_what_a_naive_join_would_leak_is_noted(store):
    frame = features()
    later = frame.head(40).with_columns(at=pl.lit(FAR_OFF + timedelta(days=1)), x=pl.lit(-1.0))
    save(store, frame)
    save(store, later, mode="append")
    report = store.check_leakage(spine(), ["f:x"], label="churned")
    assert report.ok
    assert found(report) == {"later_rows": ("note", (), 40), "naive_join": ("note", ("x",), 40)}
    assert report.findings[1].by_feature == {"x": 40}
    assert report.findings[1].examples[0]["newest_x"] == -1.0


def test_what_a_ttl_hides_is_told_by_the_naive_join_alone(store):
    save(store, features(), ttl=timedelta(days=1))
    report = store.check_leakage(spine(), ["f:x"], label="churned")
    assert found(report) == {"naive_join": ("note", ("x",), ROWS)}
    assert store.check_leakage(spine(), ["f:x"], label="churned", ttl=timedelta(days=99 * 366)).findings == ()


# What tells the label


def told(store, frame, label=LABEL, **how):
    save(store, frame, evolve=True)
    names = [f"f:{name}" for name in frame.columns[4:]]
    report = store.check_leakage(spine(label=label), names, label="churned", **how)
    assert {finding.check for finding in report.findings} <= {"tells_label"}
    return {finding.features[0]: finding.statistic for finding in report.findings}


def test_a_number_that_tells_a_label_of_two_values_is_found(store):
    score = [value + 10 * (n % 97 and is_true) for n, (value, is_true) in enumerate(zip(noise(), LABEL, strict=True))]
    assert told(store, features(score=score, inverted=[-s for s in score], other=noise())).keys() == {
        "score", "inverted",
    }  # fmt: skip


def test_a_number_that_tells_a_number_is_found(store):
    stars = noise()
    copies = {"copy": [s**3 for s in stars], "rounded": [round(s, 2) for s in stars], "other": noise()}
    assert told(store, features(**copies), stars).keys() == {"copy", "rounded"}


def test_a_category_that_tells_the_label_is_found_and_an_id_is_not(store):
    reason = [CHANCE.choice(["price", "service"]) if is_true else CHANCE.choice(["a", "b"]) for is_true in LABEL]
    names = [f"user {n}" for n in range(ROWS)]
    assert told(store, features(reason=reason, name=names, n=range(ROWS))) == {"reason": 1.0}


def test_a_name_that_each_entity_has_for_itself_is_no_leak(store):
    """Rows of one user share a label, so his name tells it, and so does every other of his features."""
    user_ids = [n // 4 for n in range(ROWS)]
    label = [LABEL[user_id] for user_id in user_ids]
    frame = features(name=[f"user {n}" for n in range(ROWS)])
    save(store, frame)
    rows = spine(label=label).with_columns(user_id=pl.Series(user_ids))
    assert store.check_leakage(rows, ["f:name"], label="churned").ok


def test_what_tells_one_of_several_texts_is_found(store):
    label = [CHANCE.choice(["drama", "comedy", "crime"]) for _ in range(ROWS)]
    order = {"drama": 1, "comedy": 2, "crime": 3}
    columns = {
        "code": [order[text] for text in label],
        "text": [f"is {text}" for text in label],
        "score": [order[text] + value for text, value in zip(label, noise(), strict=True)],
        "half": [text if n % 2 else "drama" for n, text in enumerate(label)],
        "other": noise(),
    }
    assert told(store, features(**columns), label).keys() == {"code", "text", "score"}


def test_a_value_that_is_there_only_for_some_labels_is_found(store):
    reason = [value if is_true else None for value, is_true in zip(noise(), LABEL, strict=True)]
    save(store, features(refund=reason))
    report = store.check_leakage(spine(), ["f:refund"], label="churned")
    assert found(report) == {"tells_label": ("warning", ("refund",), ROWS)}
    assert "missing" in report.findings[0].what


def test_limits_are_arguments(store):
    score = [value + is_true for value, is_true in zip(noise(), LABEL, strict=True)]
    blurred = [s if n % 4 else value for n, (s, value) in enumerate(zip(score, noise(), strict=True))]
    assert told(store, features(blurred=blurred)) == {}
    assert told(store, features(blurred=blurred), auc=0.7).keys() == {"blurred"}
    assert told(store, features(copy=LABEL), auc=1).keys() == {"copy"}


def test_a_sample_is_always_the_same(store):
    score = [value + is_true * 0.8 for value, is_true in zip(noise(), LABEL, strict=True)]
    save(store, features(score=score))
    how = {"label": "churned", "auc": 0.5, "sample": 100}
    first, again, other = (store.check_leakage(spine(), ["f:score"], seed=seed, **how) for seed in (1, 1, 2))
    assert first == again
    assert first.findings[0].statistic != other.findings[0].statistic
    assert first.findings[0].rows == 100


def test_unlabelled_rows_are_left_out(store):
    label = [None if n % 2 else is_true for n, is_true in enumerate(LABEL)]
    save(store, features(copy=LABEL))
    [finding] = store.check_leakage(spine(label=label), ["f:copy"], label="churned").findings
    assert (finding.rows, finding.share) == (ROWS // 2, 0.5)
    nan = [float("nan") if n % 2 else float(is_true) for n, is_true in enumerate(LABEL)]
    [finding] = store.check_leakage(spine(label=nan), ["f:copy"], label="churned").findings
    assert finding.rows == ROWS // 2


# The call and the report


def test_a_service_and_any_frame_will_do(store):
    save(store, features(copy=LABEL))
    store.create_service("model", ["f:copy", "f:x"])
    for rows in (spine().to_pandas(), spine().to_arrow(), spine().to_dicts()):
        report = store.check_leakage(rows, "model", label="churned")
        assert [finding.features for finding in report.warnings] == [("copy",)]


def test_the_time_is_found_or_named(store):
    store.save("user/facts", features().drop("at"), entity="user_id")
    rows = spine(LONG_AGO).rename({"event_timestamp": "when"})
    two = rows.with_columns(other=pl.lit(FAR_OFF))
    assert not store.check_leakage(rows, ["facts:x"], label="churned").ok
    assert "times" in store.check_leakage(two, ["facts:x"], label="churned").unchecked[0]
    assert not store.check_leakage(two, ["facts:x"], label="churned", timestamp="when").ok


def test_what_was_not_checked_is_told(store):
    store.save("user/facts", features().drop("at"), entity="user_id")
    rows = spine(label=[True] * ROWS).drop("event_timestamp")
    report = store.check_leakage(rows, ["facts:x"], label="churned")
    assert report.ok
    assert len(report.unchecked) == 2
    assert "not checked: times" in str(report)
    empty = store.check_leakage(spine().head(0), ["facts:x"], label="churned")
    assert (empty.rows, empty.findings) == (0, ())
    assert store.check_leakage(spine(label=[None] * ROWS), ["facts:x"], label="churned").unchecked


def test_the_report_reads_well_and_is_json(store):
    save(store, features(copy=LABEL, day=[date(2024, 1, 1)] * ROWS).with_columns(at=spine()["event_timestamp"]))
    report = store.check_leakage(spine(), ["f:copy", "f:day"], label="churned")
    text = str(report)
    assert "2 warnings" in text
    assert "warning: user/f:copy [tells_label]" in text
    assert "such as user_id=0, event_timestamp=2100-01-01 00:00:00+00:00, churned=" in text
    document = json.loads(json.dumps(report.to_dict()))
    assert document["ok"] is False
    assert [finding["check"] for finding in document["findings"]] == ["same_time", "tells_label"]
    assert document["findings"][1]["statistic"] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "chrned"},
        {"label": "list"},
        {"auc": 1.5},
        {"correlation": "high"},
        {"same_time": True},
        {"sample": 0},
        {"seed": -1},
        {"seed": 0.5},
        {"ttl": timedelta(0)},
        {"timestamp": "nope"},
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused(store, wrong):
    save(store, features())
    rows = spine().with_columns(list=pl.lit([1]))
    with pytest.raises(InvalidInputError):
        store.check_leakage(rows, ["f:x"], **{"label": "churned", **wrong})
    with pytest.raises(FeatureNotFound):
        store.check_leakage(rows, ["f:nope"], label="churned")


def test_columns_of_any_type_are_looked_at_or_passed_over(store):
    columns = {"list": [[1]] * ROWS, "struct": [{"a": 1}] * ROWS, "bytes": [b"x"] * ROWS, "null": [None] * ROWS}
    frame = features(**columns)
    save(store, frame)
    save(store, frame.head(5).with_columns(at=pl.lit(FAR_OFF + timedelta(days=1)), list=pl.lit([2])), mode="append")
    report = store.check_leakage(spine(), ["f"], label="churned")
    assert report.ok
    assert found(report)["naive_join"] == ("note", ("list",), 5)


# Against plain loops

MOMENTS = st.integers(0, 6)


def at(step: int) -> datetime:
    return FAR_OFF + timedelta(microseconds=step)


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), MOMENTS, st.one_of(st.none(), MOMENTS), st.integers(0, 2)), max_size=12),
    asked=st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), MOMENTS)), min_size=1, max_size=8),
    ttl=st.one_of(st.none(), st.integers(1, 4)),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_counts_are_those_of_plain_loops(tmp_path_factory, rows, asked, ttl):
    store = tiffin.FeatureStore(tmp_path_factory.mktemp("loops"), disk_cache_bytes=0)
    frame = pl.DataFrame(
        [(key, at(time), None if made is None else at(made), value) for key, time, made, value in rows],
        schema={"k": pl.Int64, "t": pl.Datetime("us", "UTC"), "made": pl.Datetime("us", "UTC"), "v": pl.Int64},
        orient="row",
    )
    store.save("g/t", frame, entity="k", timestamp="t", created="made", ttl=ttl and timedelta(microseconds=ttl))
    label = pl.DataFrame(
        [(key, None if time is None else at(time), 1) for key, time in asked],
        schema={"k": pl.Int64, "event_timestamp": pl.Datetime("us", "UTC"), "y": pl.Int64},
        orient="row",
    )

    def best(key, fits):
        chosen = [row for row in rows if row[0] == key and fits(row[1])]
        made = [(row[1], -1 if row[2] is None else row[2], place) for place, row in enumerate(chosen)]
        return chosen[max(range(len(chosen)), key=made.__getitem__)] if chosen else None

    counts = {"known_later": 0, "same_time": 0, "later_rows": 0, "naive_join": 0}
    for key, time in asked:
        then = None if time is None else best(key, lambda t, time=time: t <= time and (ttl is None or t >= time - ttl))
        newest = best(key, lambda _: True)
        counts["known_later"] += bool(then and then[2] is not None and then[2] > time)
        counts["same_time"] += bool(then and then[1] == time)
        counts["later_rows"] += bool(newest and time is not None and newest[1] > time)
        counts["naive_join"] += (then and then[3]) != (newest and newest[3])
    report = store.check_leakage(label, ["t:v"], label="y", same_time=1e-9)
    assert {check: rows for check, (_, _, rows) in found(report).items()} == {
        check: rows for check, rows in counts.items() if rows
    }


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"label": None}, "label"), ({"timestamp": 4}, "timestamp is 4"), ({"timestamp": ""}, "timestamp is ''"),
        ({"known_at": 5}, "known_at is 5"), ({"known_at": date(2024, 1, 1)}, "known_at is"),
        ({"seed": 2**70}, "seed is"), ({"ttl": timedelta(0)}, "ttl is"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_named(store, how, said):
    save(store, features())
    with pytest.raises(InvalidInputError, match=said):
        store.check_leakage(spine(), ["f:x"], **{"label": "churned", **how})


def test_a_known_at_without_a_zone_is_utc(store):
    save(store, features())
    given = {"label": "churned", "features": ["f:x"], "spine": spine()}
    assert store.check_leakage(**given, known_at=FAR_OFF) == store.check_leakage(
        **given, known_at=FAR_OFF.replace(tzinfo=None)
    )


@pytest.mark.parametrize("count", [10**18, 9 * 10**18, -(10**18), -9 * 10**18])
@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
def test_label_times_beyond_every_calendar_are_checked_and_shown_as_such(store, count, unit, zone):
    save(store, features(told=LABEL))
    times = pl.Series([count] * ROWS).cast(pl.Datetime(unit, zone))
    report = store.check_leakage(spine().with_columns(event_timestamp=times), ["f:told"], label="churned")
    assert set(found(report)) == ({"tells_label"} if count > 0 else {"later_rows", "naive_join"})
    assert {row["event_timestamp"] for one in report.findings for row in one.examples} == {
        "a time outside the years 1 to 9999"
    }
    assert "outside the years" in str(report)
    json.dumps(report.to_dict())


def test_so_is_the_end_of_the_calendar_seen_from_farther_east(store):
    save(store, features(told=LABEL))
    end = pl.Series([datetime(9999, 12, 31, 23, 59)] * ROWS).dt.replace_time_zone("UTC")
    for zone, year in (("UTC", 9999), ("America/Lima", 9999), ("Asia/Kolkata", None)):
        rows = spine().with_columns(event_timestamp=end.dt.convert_time_zone(zone))
        shown = store.check_leakage(rows, ["f:told"], label="churned").findings[0].examples[0]["event_timestamp"]
        assert getattr(shown, "year", None) == year
