"""Routes of what rows must satisfy: constraints, checks, and rows that were kept apart."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.schema.constraints.kinds import Constraint
from tiffin.server.answers import forms, reading
from tiffin.server.answers.forms import Cleared, Frame
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.changing import Constraining, Unconstraining
from tiffin.server.requests.finding import Apart, Checking
from tiffin.tables.table import Commit
from tiffin.tables.violations import CheckReport

router = APIRouter(prefix="/tables/{group}/{name}", tags=["constraints"])


@router.get("/constraints", **documented("List the constraints", gives=list[Constraint]))
async def constraints(request: Request, group: Group, name: Name) -> Response:
    """List what the rows of a table must satisfy."""
    call, table = await Call.of_table(request, "read", group, name)
    return call.result((await call.run(call.store.describe, table)).constraints)


@router.post("/constraints", **documented("Declare constraints", body=Constraining, gives=Commit))
async def constrain(request: Request, group: Group, name: Name) -> Response:
    """Declare what the rows of a table must satisfy from now on; those that are there must, too."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = (await call.body(Constraining)).given()
    return call.result(await call.run(call.store.constrain, table, *asked["constraints"], message=asked["message"]))


@router.delete("/constraints", **documented("Take constraints away", query=Unconstraining, gives=Commit))
async def unconstrain(request: Request, group: Group, name: Name) -> Response:
    """Take constraints away, by their names; all in one version."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = call.query(Unconstraining)
    return call.result(await call.run(call.store.unconstrain, table, *asked.constraint, message=asked.message))


@router.post("/check", **documented("Check the rows of a version", body=Checking, gives=CheckReport))
async def check(request: Request, group: Group, name: Name) -> Response:
    """Check the rows of a version by the constraints that it declares."""
    call, table = await Call.of_table(request, "read", group, name)
    asked = await call.body(Checking)
    return call.result(await call.run(call.store.check, table, **asked.given()))


@router.get("/quarantine", **documented("Read the rows that were kept apart", query=Apart, gives=Frame))
async def quarantine(request: Request, group: Group, name: Name) -> Response:
    """Read the rows that saves kept apart because they broke a constraint, oldest first."""
    call, table = await Call.of_table(request, "read", group, name)
    asked = call.query(Apart)
    form = forms.form_of(call, nan=asked.nan, envelope=forms.plain_envelope, name=f"{name}_quarantine")
    limit = None if asked.limit is msgspec.UNSET else asked.limit
    return await forms.rows(call, form, lambda: reading.page(call.store.quarantine(table), form, limit, asked.offset))


@router.delete("/quarantine", **documented("Remove the rows that were kept apart", gives=Cleared))
async def clear_quarantine(request: Request, group: Group, name: Name) -> Response:
    """Remove the rows that were kept apart, for good."""
    call, table = await Call.of_table(request, "admin", group, name)
    return call.result(Cleared(rows=await call.run(call.store.clear_quarantine, table)))
