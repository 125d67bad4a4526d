"""What the guides ask of a table: rows by entity ids, and how it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from tiffin.errors import TableNotFound
from tiffin.frames import FeatureFrame
from tiffin.schema import filters
from tiffin.simple.caches import MIB
from tiffin.store import FeatureStore

ENTITY_ID = "entity_id"
"""The column that `entity_ids` means where a table declares no entity."""


def rows_of(
    store: FeatureStore, reference: str, entity_ids: Any = None, *, limit: int | None = None, use_cache: bool = True
) -> FeatureFrame:
    """Read a table, or the rows of some entities.

    Parameters
    ----------
    store : FeatureStore
        Where the table is.
    reference : str
        `group/name`, with a version if it is to be another than the newest.
    entity_ids : sequence, optional
        Keys whose rows are wanted, in any type that can be compared with the table's entity, or with its column
        `entity_id`.
    limit : int, optional
        At most this many rows.
    use_cache : bool
        Whether cached frames may answer.

    Returns
    -------
    FeatureFrame

    Raises
    ------
    TableNotFound, Ambiguous, InvalidInputError
        As `SimpleFeatureStore.get_features`.
    """
    if entity_ids is None:
        return store.read(reference, limit=limit, use_cache=use_cache)
    wanted = _as_keys(entity_ids)
    table = store.describe(reference)
    if table.entity or all(column.name != ENTITY_ID for column in table.columns):
        return store.read(reference, entities=wanted, limit=limit, use_cache=use_cache)
    # Such a table was not declared by us: another writer made it, or it had other columns at first.
    known = store.read(reference, limit=0, use_cache=use_cache).schema
    keys = filters.keys(wanted, [ENTITY_ID], known, table.table)[ENTITY_ID]
    chosen = pl.col(ENTITY_ID).is_in(keys.implode())
    return store.read(reference, where=chosen, limit=limit, use_cache=use_cache)


def storage_info(store: FeatureStore, group: str, name: str) -> dict[str, Any]:
    """Tell whether a table exists and how large it is; see `OptimizedStorage.get_storage_info`."""
    info = {"feature_group": group, "feature_name": name}
    try:
        table = store.describe(f"{group}/{name}")
    except TableNotFound:
        return {**info, "exists": False, "file_size_mb": 0.0, "row_count": 0, "column_count": 0}
    return {
        **info,
        "exists": True,
        "file_size_mb": table.size_bytes / MIB,
        "row_count": table.rows,
        "column_count": len(table.columns),
    }


def _as_keys(entity_ids: Any) -> Any:
    """Make a list of NumPy arrays, pandas and Polars columns and sets; frames and texts stay what they are."""
    is_frame = hasattr(entity_ids, "columns")
    if isinstance(entity_ids, Iterable) and not isinstance(entity_ids, Sequence) and not is_frame:
        return list(entity_ids)
    return entity_ids
