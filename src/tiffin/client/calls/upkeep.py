"""Calls about the store itself."""

from __future__ import annotations

from datetime import timedelta

from tiffin.client.call import Call, as_type, get, post
from tiffin.doctor import Finding
from tiffin.reading import Stats
from tiffin.tables.table import Commit
from tiffin.tables.upkeep import Vacuumed


def stats() -> Call[Stats]:
    """Count what the store holds, and how the caches did in the process that answers.

    As `FeatureStore.stats`.
    """
    return get("/stats", Stats)


def vacuum(
    reference: str | None = None,
    *,
    keep_versions: int | None = None,
    older_than: timedelta | None = None,
    dry_run: bool = False,
) -> Call[list[Vacuumed]]:
    """Remove old versions and files that belong to no version; versions being read are kept.

    As `FeatureStore.vacuum`.
    """
    asked = {"table": reference, "keep_versions": keep_versions, "older_than": older_than, "dry_run": dry_run}
    return post("/vacuum", as_type(list[Vacuumed]), asked, is_repeatable=dry_run)


def compact(reference: str | None = None) -> Call[list[Commit]]:
    """Merge the small files of a table, or of all tables; rows and their order stay the same.

    As `FeatureStore.compact`.
    """
    return post("/compact", as_type(list[Commit]), {"table": reference})


def examine(reference: str | None = None) -> Call[list[Finding]]:
    """Check that every version can be read, every file is what was written, and every service finds its features.

    As `FeatureStore.examine`.
    """
    return get("/examine", list[Finding], {"table": reference})
