"""Routes of derived features: tables made from others, and features computed on demand."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.derived.listing import Derived
from tiffin.derived.on_demand import OnDemandFeatures
from tiffin.derived.proof import Proof
from tiffin.schema.derivation import definition
from tiffin.server.answers import covered
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.changing import Deriving, NewOnDemand, Refreshing
from tiffin.server.requests.intake import sample_of
from tiffin.server.requests.parameters import Records
from tiffin.tables.table import Commit

router = APIRouter(tags=["derived"])


@router.get("/derived", **documented("List the derived tables", gives=list[Derived]))
async def derived(request: Request) -> Response:
    """List the derived tables: from what they are made, and how far they are behind it."""
    call = Call(request)
    call.may("read")
    found = await call.run(call.store.derived)
    return call.result([one for one in found if covered.is_derived(call.caller, one)])


@router.post("/derived/refresh", **documented("Refresh all derived tables", body=Refreshing, gives=list[Commit]))
async def refresh_all(request: Request) -> Response:
    """Bring all derived tables up to their sources."""
    call = Call(request)
    call.may_all("write")
    asked = await call.body(Refreshing)
    return call.result(await call.run(call.store.refresh, message=asked.message))


@router.post("/derived/{group}/{name}", **documented("Derive a table", body=Deriving, gives=Commit))
async def derive(request: Request, group: Group, name: Name) -> Response:
    """Make a table of windowed features from the events of another."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = (await call.body(Deriving)).given()
    made = definition(asked.pop("definition"))
    await call.may_use("read", [made.source])
    return call.result(await call.run(call.store.derive, table, made, **asked))


@router.post(
    "/derived/{group}/{name}/refresh", **documented("Refresh a derived table", body=Refreshing, gives=list[Commit])
)
async def refresh(request: Request, group: Group, name: Name) -> Response:
    """Bring a derived table up to its source, and what that is derived from before it."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Refreshing)
    call.may("write", *covered.sources(await call.run(call.store.derived), table))
    return call.result(await call.run(call.store.refresh, table, message=asked.message))


@router.get("/on-demand", **documented("List the on-demand features", gives=list[OnDemandFeatures]))
async def registered(request: Request) -> Response:
    """List the features that are computed when they are asked for."""
    call = Call(request)
    call.may("read")
    found = await call.run(call.store.registered)
    return call.result([one for one in found if covered.is_on_demand(call.caller, one)])


@router.post("/on-demand", **documented("Register on-demand features", body=NewOnDemand, gives=OnDemandFeatures))
async def register(request: Request) -> Response:
    """Make features known that are SQL over others; Python functions are registered where they run."""
    call = Call(request)
    call.may("write")
    asked = await call.body(NewOnDemand)
    features = asked.features()
    call.may("write", asked.name)
    await call.may_use("read", asked.inputs)
    await call.may_replace(call.on_demand, asked.name)
    return call.result(await call.run(call.store.register, features, replace=asked.replace))


@router.delete("/on-demand/{group}/{name}", **documented("Forget on-demand features", gives=None, status=204))
async def unregister(request: Request, group: Group, name: Name) -> Response:
    """Forget on-demand features; what they are computed from stays."""
    call = Call(request)
    await call.on_demand("write", f"{group}/{name}")
    await call.run(call.store.unregister, f"{group}/{name}")
    return Response(status_code=204)


@router.post("/on-demand/{group}/{name}/prove", **documented("Prove on-demand features", frame=Records, gives=Proof))
async def prove(request: Request, group: Group, name: Name) -> Response:
    """Prove on samples that on-demand features come out the same offline and online."""
    call = Call(request)
    features = await call.on_demand("read", f"{group}/{name}")
    rows = await sample_of(call, features)
    return call.result(await call.run(call.store.prove, features.name, rows))
