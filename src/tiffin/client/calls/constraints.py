"""Calls about what the rows of tables must satisfy."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tiffin.client.call import (
    Call,
    accept_frame,
    as_frame,
    as_type,
    one_version,
    post,
    table_path,
    unpinned,
    with_query,
)
from tiffin.frames import FeatureFrame
from tiffin.schema.constraints.texts import Constrained, read_all
from tiffin.schema.names import parse_reference
from tiffin.tables.table import Commit
from tiffin.tables.violations import CheckReport
from tiffin.wire import decode


def constrain(reference: str, *constraints: Constrained, message: str = "") -> Call[Commit]:
    """Declare what the rows of a table must satisfy from now on; a version of its own with the same rows.

    As `FeatureStore.constrain`.
    """
    asked = {"constraints": read_all(constraints), "message": message}
    return post(table_path(unpinned(reference), "constraints"), as_type(Commit), asked)


def unconstrain(reference: str, *names: str, message: str = "") -> Call[Commit]:
    """Take constraints away; a version of its own with the same rows.

    As `FeatureStore.unconstrain`.
    """
    query = {"constraint": names, "message": message or None}
    path = with_query(table_path(unpinned(reference), "constraints"), query)
    return Call(method="DELETE", path=path, decode=as_type(Commit))


def check(reference: str, *, version: int | str | None = None, as_of: datetime | None = None) -> Call[CheckReport]:
    """Check the rows of a version by the constraints that it declares.

    As `FeatureStore.check`; the values of its examples are as JSON has them.
    """
    parsed = parse_reference(reference)
    asked = {"version": one_version(parsed, version), "as_of": as_of}
    return post(table_path(parsed, "check"), as_type(CheckReport), asked, is_repeatable=True)


def quarantine(reference: str) -> Call[FeatureFrame]:
    """Read the rows that saves with `on_violation="quarantine"` kept apart, oldest first.

    As `FeatureStore.quarantine`.
    """
    path = table_path(unpinned(reference), "quarantine")
    return Call(method="GET", path=path, decode=as_frame, **accept_frame())


def clear_quarantine(reference: str) -> Call[int]:
    """Remove the rows that were kept apart, for good; return how many they were.

    As `FeatureStore.clear_quarantine`.
    """
    return Call(method="DELETE", path=table_path(unpinned(reference), "quarantine"), decode=_rows)


class _Cleared(msgspec.Struct, frozen=True):
    rows: int


def _rows(body: bytes) -> int:
    return decode(body, _Cleared).rows
