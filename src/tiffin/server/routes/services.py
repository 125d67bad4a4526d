"""Routes of feature services: list, look up, create, drop."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.registry import Service
from tiffin.server.document.openapi import Own, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.parameters import NewService

router = APIRouter(prefix="/services", tags=["services"])


@router.get("", **documented("List the feature services", gives=list[Service]))
async def services(request: Request) -> Response:
    """List the feature services whose tables the caller may see."""
    call = Call(request)
    call.may("read")
    found = await call.run(call.store.services)
    return call.result([service for service in found if all(map(call.caller.sees, service.features))])


@router.post("", **documented("Create a feature service", body=NewService, gives=Service))
async def create(request: Request) -> Response:
    """Save a list of references under a name, for one model."""
    call = Call(request)
    call.may("write")
    asked = (await call.body(NewService)).given()
    await call.may_use("write", asked["features"])
    if asked["replace"]:
        await call.may_replace(call.service, asked["name"])
    return call.result(await call.run(call.store.create_service, **asked))


@router.get("/{name}", **documented("Look up a feature service", gives=Service))
async def service(request: Request, name: Own) -> Response:
    """Return a feature service."""
    call = Call(request)
    return call.result(await call.service("read", name))


@router.delete("/{name}", **documented("Drop a feature service", gives=None, status=204))
async def drop(request: Request, name: Own) -> Response:
    """Remove a feature service; the tables stay as they are."""
    call = Call(request)
    await call.service("write", name)
    await call.run(call.store.drop_service, name)
    return Response(status_code=204)
