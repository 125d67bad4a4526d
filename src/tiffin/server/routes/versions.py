"""Routes of names of versions, and of versions that are tried: tags and stages."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.server.answers import covered
from tiffin.server.document.openapi import Group, Name, Pin, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.changing import Forced, Promoting, Staging, Tagging
from tiffin.server.requests.intake import rows_of
from tiffin.tables.stages import Stage
from tiffin.tables.table import Commit
from tiffin.tables.tags import Tag

router = APIRouter(prefix="/tables/{group}/{name}", tags=["versions"])


@router.get("/tags", **documented("List the tags", gives=list[Tag]))
async def tags(request: Request, group: Group, name: Name) -> Response:
    """List the names that versions of a table have."""
    call, table = await Call.of_table(request, "read", group, name)
    return call.result(await call.run(call.store.tags, table))


@router.put("/tags/{tag}", **documented("Tag a version", body=Tagging, gives=Tag))
async def tag_version(request: Request, group: Group, name: Name, tag: Pin) -> Response:
    """Give a version a name, which stands wherever its number may stand."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Tagging)
    return call.result(await call.run(call.store.tag, table, name=tag, **asked.given()))


@router.delete("/tags/{tag}", **documented("Take a tag away", query=Forced, gives=None, status=204))
async def untag(request: Request, group: Group, name: Name, tag: Pin) -> Response:
    """Take a tag away; the version stays until a vacuum takes it."""
    call, table = await Call.of_table(request, "write", group, name)
    await call.run(call.store.untag, table, tag, force=call.query(Forced).force)
    return Response(status_code=204)


@router.get("/stages", **documented("List the stages", gives=list[Stage]))
async def stages(request: Request, group: Group, name: Name) -> Response:
    """List the versions of a table that are tried."""
    call, table = await Call.of_table(request, "read", group, name)
    return call.result(covered.made(call.caller, await call.run(call.store.stages, table)))


@router.post("/stages/{stage}", **documented("Try a save", frame=Staging, gives=Stage))
async def stage_rows(request: Request, group: Group, name: Name, stage: Pin) -> Response:
    """Put beside a table what would be its next version, for those who ask for it by name."""
    call, table = await Call.of_table(request, "write", group, name)
    sent = await rows_of(call, Staging, table)
    return call.result(await call.run(call.store.stage, table, sent.frame, stage, **sent.given))


@router.post("/stages/{stage}/promote", **documented("Promote a stage", body=Promoting, gives=Commit))
async def promote(request: Request, group: Group, name: Name, stage: Pin) -> Response:
    """Make a stage the next version of its table."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Promoting)
    return call.result(await call.run(call.store.promote, table, stage, **asked.given()))


@router.delete("/stages/{stage}", **documented("Discard a stage", query=Forced, gives=None, status=204))
async def discard(request: Request, group: Group, name: Name, stage: Pin) -> Response:
    """Remove a stage with the files that only it has."""
    call, table = await Call.of_table(request, "write", group, name)
    await call.run(call.store.discard, table, stage, force=call.query(Forced).force)
    return Response(status_code=204)
