"""Calls of the guides' client: plain values in and out, as JSON has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiffin.client.call import Call, as_type, get, once, post
from tiffin.frames import ingest
from tiffin.schema.names import check_part

_Said = dict[str, Any]


def get_feature(
    feature_group: str,
    feature_name: str,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Call[dict[str, Any]]:
    """Read a table, or a page of it, as JSON.

    Parameters
    ----------
    feature_group, feature_name : str
        Which table.
    columns : sequence of str, optional
        Which columns, in which order.
    limit : int, optional
        At most this many rows.
    offset : int
        Pass over this many rows first.

    Returns
    -------
    dict
        `feature_group`, `feature_name`, `data` (a dict for each row) and `metadata`: `total_rows` of the table,
        `row_count` of this answer, `columns`, `dtypes`, `version`.

    Raises
    ------
    TableNotFound, FeatureNotFound
        What is asked for is not there.
    """
    return get(_path(feature_group, feature_name), _Said, {"columns": columns, "limit": limit, "offset": offset})


def save_feature(feature_group: str, feature_name: str, data: Any) -> Call[dict[str, Any]]:
    """Save rows as the next version of a table.

    Parameters
    ----------
    feature_group, feature_name : str
        Which table.
    data : sequence of dicts
        The rows; or a frame of any library, whose values travel as JSON has them (`save` keeps their types).

    Returns
    -------
    dict
        `message`, `file_path`, `rows_saved`, `version`.

    Raises
    ------
    InvalidName, InvalidInputError, SchemaMismatch
        They cannot be saved; nothing was changed.
    """
    records = list(data) if isinstance(data, list | tuple) else ingest(data).frame.to_dicts()
    path = _path(feature_group, feature_name)
    return post(path, as_type(_Said), {"records": records}, headers=once(), is_repeatable=True)


def get_batch_features(
    feature_names: Sequence[str], entity_ids: Sequence[Any] | None = None, timestamp: str | None = None
) -> Call[dict[str, Any]]:
    """Read several tables as JSON.

    Parameters
    ----------
    feature_names : sequence of str
        Names of tables, `group/name` or, where it is unique, `name`.
    entity_ids : sequence, optional
        Keys whose rows are wanted.
    timestamp : str, optional
        As of when, ISO 8601.

    Returns
    -------
    dict
        `features` (by name, a list of rows), `metadata`, `timestamp`.

    Raises
    ------
    TableNotFound, Ambiguous
        What is asked for is not there.
    """
    asked = {"feature_names": feature_names, "entity_ids": entity_ids, "timestamp": timestamp}
    return post("/features/batch", as_type(_Said), asked, is_repeatable=True)


def get_feature_info(feature_group: str, feature_name: str) -> Call[dict[str, Any]]:
    """Tell size, rows and columns of a table.

    Parameters
    ----------
    feature_group, feature_name : str
        Which table.

    Returns
    -------
    dict
        `storage_info`, as the guides' storage gives it.
    """
    return get(_path(feature_group, feature_name) + "/info", _Said)


def _path(group: str, name: str) -> str:
    return f"/features/{check_part(group, 'group')}/{check_part(name, 'table')}"
