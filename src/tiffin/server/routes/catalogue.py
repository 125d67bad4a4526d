"""Routes that find: what values look like, where tables come from and go, what there is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.lineage import Lineage
from tiffin.quality.drift.answer import Drift
from tiffin.quality.profiles.profile import Profile
from tiffin.search import Match
from tiffin.server.answers import covered
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.finding import Drifting, Following, MadeFrom, Searching
from tiffin.server.requests.intake import current_of
from tiffin.server.requests.parameters import OfVersion

router = APIRouter(tags=["catalogue"])

_TABLE = "/tables/{group}/{name}"


@router.get(_TABLE + "/profile", **documented("Look at the values", query=OfVersion, gives=Profile))
async def profile(request: Request, group: Group, name: Name) -> Response:
    """Tell what the values of a version look like, column by column."""
    call, table = await Call.of_table(request, "read", group, name)
    return call.result(await call.run(call.store.profile, call.query(OfVersion).reference(table)))


@router.post(
    _TABLE + "/drift",
    **documented("Compare the values", frame=Drifting, gives=Drift, may_be_empty=True, may_lack_rows=True),
)
async def drift(request: Request, group: Group, name: Name) -> Response:
    """Tell whether what a table holds now, what is served of it, or the rows in the body are like what it held."""
    call, table = await Call.of_table(request, "read", group, name)
    given, rows = await current_of(call, Drifting, table)
    feature = given.pop("feature", None)
    asked = given if rows is None else {**given, "current": rows}
    return call.result(await call.run(call.store.drift, f"{table}:{feature}" if feature else table, **asked))


@router.get(_TABLE + "/lineage", **documented("Tell where a table comes from", query=Following, gives=Lineage))
async def lineage(request: Request, group: Group, name: Name) -> Response:
    """Tell what a table was made from and what is made from it, as far as saves have said so."""
    call, table = await Call.of_table(request, "read", group, name)
    found = await call.run(call.store.lineage, table, **call.query(Following).given())
    covered.check_size(found, call.limits.rows_per_answer)
    return call.result(await call.run(covered.lineage, call.caller, call.store, found))


@router.get(
    _TABLE + "/openlineage", **documented("Tell it as OpenLineage events", query=MadeFrom, gives=list[dict[str, Any]])
)
async def openlineage(request: Request, group: Group, name: Name) -> Response:
    """Tell what a table was made from as OpenLineage events, for catalogues that take them in."""
    call, table = await Call.of_table(request, "read", group, name)
    asked = call.query(MadeFrom).given()
    found = await call.run(call.store.lineage, table, **asked, direction="up")
    covered.check_size(found, call.limits.rows_per_answer)
    call.may("read", *covered.tables(found))
    return call.result(covered.placed(await call.run(call.store.openlineage, table, **asked)))


@router.get("/search", **documented("Find features", query=Searching, gives=list[Match]))
async def search(request: Request) -> Response:
    """Find tables, columns, services and training sets by their names, and by what is said of them."""
    call = Call(request)
    call.may("read")
    asked = call.query(Searching)
    limit = asked.limit if call.caller.sees_all else covered.EVERYTHING
    found = await call.run(call.store.search, asked.text, limit=limit)
    return call.result(await call.run(covered.matches, call.caller, call.store, found, asked.limit))
