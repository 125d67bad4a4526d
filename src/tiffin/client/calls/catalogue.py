"""Calls that look at values, and that find where tables come from and what there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tiffin.client.call import Call, as_type, get, one_version, post, table_path, to_frame, with_query
from tiffin.errors import InvalidInputError
from tiffin.lineage import Lineage
from tiffin.lineage.graph import Direction
from tiffin.quality.drift.answer import Drift
from tiffin.quality.drift.thresholds import Given
from tiffin.quality.profiles.profile import Profile
from tiffin.schema.names import parse_reference
from tiffin.search import Match


def profile(reference: str) -> Call[Profile]:
    """Tell what the values of a version look like: counts, extremes, quantiles, histograms, frequent values.

    As `FeatureStore.profile`; extremes and frequent values are as JSON has them.
    """
    parsed = parse_reference(reference)
    return get(table_path(parsed, "profile"), Profile, {"version": parsed.version, "feature": parsed.feature})


def drift(
    reference: str,
    baseline: int | datetime | str,
    current: Any = None,
    *,
    columns: Sequence[str] | None = None,
    thresholds: Given | None = None,
) -> Call[Drift]:
    """Tell whether what a table holds now, or what was served of it, is still like what it held.

    As `FeatureStore.drift`; frequent values are as JSON has them.
    """
    parsed = parse_reference(reference)
    if parsed.version is not None:
        raise InvalidInputError(
            f"{reference!r} names a version", hint="write the table alone: baseline and current choose the versions"
        )
    if isinstance(baseline, bool) or not isinstance(baseline, int | datetime | str):
        raise InvalidInputError(f"{baseline!r} is no version", hint="give its number, its name or a time")
    path = table_path(parsed, "drift")
    asked = {"baseline": baseline, "feature": parsed.feature, "columns": columns, "thresholds": thresholds}
    if current is None or isinstance(current, int | datetime | str):
        said = {name: value for name, value in {**asked, "current": current}.items() if value is not None}
        return post(path, as_type(Drift), said, is_repeatable=True)
    return Call(
        method="POST",
        path=with_query(path, asked),
        decode=as_type(Drift),
        body=to_frame(current),
        is_repeatable=True,
    )


def lineage(
    reference: str, *, version: int | str | None = None, depth: int | None = None, direction: Direction = "both"
) -> Call[Lineage]:
    """Tell what a table was made from and what is made from it, as far as the inputs of saves say so.

    As `FeatureStore.lineage`: of what the key covers.
    """
    parsed = parse_reference(reference)
    query = {"version": one_version(parsed, version), "depth": depth, "direction": direction}
    return get(table_path(parsed, "lineage"), Lineage, query)


def openlineage(
    reference: str, *, version: int | str | None = None, depth: int | None = None
) -> Call[list[dict[str, Any]]]:
    """Tell what a table was made from as OpenLineage events, for catalogues that take them in.

    As `FeatureStore.openlineage`; tables are named by their folders below the server's store.
    """
    parsed = parse_reference(reference)
    query = {"version": one_version(parsed, version), "depth": depth}
    return get(table_path(parsed, "openlineage"), list[dict[str, Any]], query)


def search(text: str, *, limit: int = 20) -> Call[tuple[Match, ...]]:
    """Find tables, columns, feature services and training sets by their names, and by what is said of them.

    As `FeatureStore.search`: among those that the key covers, at most 1,000.
    """
    return get("/search", tuple[Match, ...], {"text": text, "limit": limit})
