"""Calls about derived features: tables made from others, and values computed when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.client.call import Call, as_nothing, as_type, full_name, get, post, to_frame
from tiffin.derived.listing import Derived
from tiffin.derived.on_demand import OnDemand, OnDemandFeatures
from tiffin.derived.proof import Proof
from tiffin.errors import InvalidInputError
from tiffin.schema.derivation import Windowed, definition
from tiffin.schema.names import Reference
from tiffin.tables.table import Commit


def derive(
    name: str,
    what: Windowed | Mapping[str, Any],
    *,
    online: bool | None = None,
    message: str = "",
    force: bool = False,
) -> Call[Commit]:
    """Make a table of windowed features from the events of another table.

    As `FeatureStore.derive`.
    """
    asked = {"definition": definition(what), "online": online, "message": message, "force": force}
    return post(_path("derived", full_name(name)), as_type(Commit), asked)


def refresh(name: str | None = None, *, message: str = "") -> Call[list[Commit]]:
    """Bring derived tables up to their sources; the work follows what has changed there.

    As `FeatureStore.refresh`.
    """
    path = "/derived" if name is None else _path("derived", full_name(name))
    return post(f"{path}/refresh", as_type(list[Commit]), {"message": message})


def derived() -> Call[list[Derived]]:
    """List the derived tables: from what they are made, and how far they are behind it.

    As `FeatureStore.derived`: of those that the key covers.
    """
    return get("/derived", list[Derived])


def register(features: OnDemand, *, replace: bool = False) -> Call[OnDemandFeatures]:
    """Make on-demand features known, so that they can be asked for like those of a table.

    As `FeatureStore.register`, of those that are SQL.

    Raises
    ------
    InvalidInputError
        A Python function computes them, whose code is not sent.
    """
    if not isinstance(features, OnDemand):
        raise InvalidInputError(f"{features!r} are no on-demand features", hint="make them with tiffin.on_demand")
    told = features.declared
    if not told.sql:
        raise InvalidInputError(
            f"{told.name} is computed by a Python function, whose code is not sent to a server",
            hint="write it in SQL (sql={…}), or register it in each process that computes it: FeatureStore.register",
        )
    asked = {
        "name": told.name,
        "inputs": told.inputs,
        "request": told.request,
        "outputs": told.outputs,
        "sql": told.sql,
        "description": told.description,
        "replace": replace,
    }
    return post("/on-demand", as_type(OnDemandFeatures), asked)


def registered() -> Call[list[OnDemandFeatures]]:
    """List the on-demand features by name.

    As `FeatureStore.registered`: those that the key covers.
    """
    return get("/on-demand", list[OnDemandFeatures])


def unregister(name: str) -> Call[None]:
    """Forget on-demand features; what they are computed from stays.

    As `FeatureStore.unregister`.
    """
    return Call(method="DELETE", path=_path("on-demand", full_name(name)), decode=as_nothing)


def prove(name: str, rows: Any) -> Call[Proof]:
    """Prove on samples that on-demand features come out the same offline and online, and of each row by itself.

    As `FeatureStore.prove`; the values that differ are as JSON has them.
    """
    path = f"{_path('on-demand', full_name(name))}/prove"
    return Call(method="POST", path=path, decode=as_type(Proof), body=to_frame(rows), is_repeatable=True)


def _path(collection: str, name: Reference) -> str:
    return f"/{collection}/{name.group}/{name.name}"
