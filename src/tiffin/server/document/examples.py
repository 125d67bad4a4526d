"""Answers as they may look, for the OpenAPI document; real results, so that they cannot fall behind the types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from tiffin.agreement import TableVerification, Verification
from tiffin.diff import ColumnDiff, Diff, NumbersDiff
from tiffin.doctor import Finding
from tiffin.materialize import Materialized
from tiffin.quality.leakage.report import LeakageFinding, LeakageReport
from tiffin.quality.profiles.profile import ColumnProfile, Profile
from tiffin.reading import Stats
from tiffin.registry import Service
from tiffin.server.answers.batch import Batch, BatchMetadata, Facts, FeaturePage, Metadata, Saved
from tiffin.server.answers.forms import Frame
from tiffin.server.document.table_examples import TABLE_EXAMPLES
from tiffin.server.health import Health, OnlineTable, Ready
from tiffin.tables.catalog import ColumnInfo, TableInfo
from tiffin.tables.table import Commit
from tiffin.tables.upkeep import Vacuumed
from tiffin.wire import Problem

_NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
_TABLE, _FOLDER = "user/ratings", "features/user/ratings"
_ROW = {"user_id": 7, "event_timestamp": "2024-05-31T12:00:00+00:00", "mean": 4.5}
_DTYPES = {"user_id": "Int64", "event_timestamp": "Datetime(time_unit='us', time_zone='UTC')", "mean": "Float64"}
_ROLES = ("entity", "timestamp", "feature")

_COMMIT = Commit(
    table=_TABLE,
    version=3,
    timestamp=_NOON,
    operation="append",
    rows=1200,
    rows_added=100,
    rows_removed=0,
    message="the ratings of May",
    author="anna",
    path=_FOLDER,
    online_version=3,
)
_INFO = TableInfo(
    table=_TABLE,
    version=3,
    oldest_version=0,
    rows=1200,
    size_bytes=18_432,
    files=2,
    updated=_NOON,
    entity=("user_id",),
    timestamp="event_timestamp",
    created=None,
    ttl=timedelta(days=30),
    online=True,
    partition_by=(),
    description="What users think of movies.",
    columns=tuple(
        ColumnInfo(name=name, dtype=dtype, role=role)
        for (name, dtype), role in zip(_DTYPES.items(), _ROLES, strict=True)
    ),
    path=_FOLDER,
)
_SERVICE = Service(name="recommender", features=("user/ratings:mean",), description="for the start page", created=_NOON)
_MATERIALIZED = Materialized(
    table=_TABLE,
    version=3,
    entities_written=100,
    entities_removed=0,
    rows_read=100,
    from_scratch=False,
    seconds=0.004,
)
_LEAK = LeakageFinding(
    check="same_time",
    severity="warning",
    table=_TABLE,
    features=("mean",),
    rows=90,
    share=0.9,
    what="in 90 of 100 rows the features are of exactly the label's time",
    advice="take features that were known before the label",
)
_VERIFIED = TableVerification(
    table=_TABLE,
    version=3,
    moment=_NOON,
    lag=0,
    entities_compared=1000,
    values_compared=1000,
    values_different=0,
    differences=(),
    entities_offline=1200,
    entities_online=1200,
)

EXAMPLES: tuple[msgspec.Struct, ...] = (
    _INFO,
    _COMMIT,
    _SERVICE,
    _MATERIALIZED,
    Frame(columns=_DTYPES, row_count=1, total_rows=1200, versions={_TABLE: 3}, rows=[_ROW]),
    FeaturePage(
        feature_group="user",
        feature_name="ratings",
        data=[_ROW],
        metadata=Metadata(total_rows=1200, row_count=1, columns=[*_DTYPES], dtypes=_DTYPES, version=3),
    ),
    Saved(message="Feature data saved successfully", file_path=_FOLDER, rows_saved=1, version=3),
    Facts(
        storage_info={
            "feature_group": "user",
            "feature_name": "ratings",
            "exists": True,
            "file_size_mb": 0.018,
            "row_count": 1200,
            "column_count": 3,
        }
    ),
    Batch(
        features={_TABLE: [_ROW]},
        metadata=BatchMetadata(feature_count=1, versions={_TABLE: 3}, request_timestamp=None),
        timestamp=_NOON,
    ),
    Diff(
        table=_TABLE,
        old=2,
        new=3,
        schema=(),
        rows_old=1100,
        rows_new=1200,
        key=("user_id", "event_timestamp"),
        rows_added=100,
        rows_removed=0,
        rows_changed=1,
        columns=(
            ColumnDiff(
                name="mean",
                changed=1,
                nulls_old=0,
                nulls_new=0,
                numbers=NumbersDiff(mean_old=3.6, mean_new=3.7, mean_change=0.5, largest_change=0.5),
            ),
        ),
        examples=({"user_id": 7, "mean": [4.0, 4.5]},),
    ),
    Profile(
        table=_TABLE,
        version=3,
        rows=1200,
        columns=(
            ColumnProfile(
                name="mean",
                dtype="Float64",
                nulls=2,
                nans=0,
                distinct=40,
                min=0.5,
                max=5.0,
                mean=3.5,
                std=0.9,
                quantiles={"0.5": 3.5},
            ),
        ),
    ),
    LeakageReport(label="liked", rows=100, features=("user/ratings:mean",), findings=(_LEAK,)),
    Verification(tables=(_VERIFIED,)),
    Vacuumed(table=_TABLE, oldest_version=2, versions_removed=2, files_removed=3, bytes_freed=9_216),
    Finding(table=_TABLE, kind="corrupt", what="version 2: a file is not what was written"),
    Stats(
        path=".",
        groups=1,
        tables=1,
        features=1,
        rows=1200,
        size_bytes=18_432,
        memory_cache=None,
        disk_cache=None,
    ),
    Health(status="healthy", timestamp=_NOON),
    Ready(status="ready", online={_TABLE: OnlineTable(version=3, online_version=3, behind=0)}),
    Problem(
        type="urn:tiffin:error:table_not_found",
        title="No table has this name",
        status=404,
        detail="there is no table 'user/rating'",
        code="table_not_found",
        hint="did you mean 'user/ratings'?",
        request_id="1f3a9c07-2a",
    ),
    *TABLE_EXAMPLES,
)
"""One of each type."""
