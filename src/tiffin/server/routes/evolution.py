"""Routes by which tables evolve: plan, declare, rename, deprecate, drop-columns; and definitions of them all."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.definitions import Applied, Definitions, write
from tiffin.server.answers import covered
from tiffin.server.answers.negotiation import choose_media
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.changing import (
    Applying,
    ApplyingJson,
    Deprecating,
    DroppingColumns,
    Renaming,
    Stating,
)
from tiffin.server.requests.finding import Defining
from tiffin.server.requests.intake import definitions_of, rows_of
from tiffin.server.requests.parameters import Saving
from tiffin.tables.planning import Plan
from tiffin.tables.table import Commit
from tiffin.wire.media import JSON, TOML

router = APIRouter(tags=["evolution"])

_TABLE = "/tables/{group}/{name}"


@router.post(_TABLE + "/plan", **documented("Tell what a save would do", frame=Saving, gives=Plan))
async def plan(request: Request, group: Group, name: Name) -> Response:
    """Tell what a save of these rows would do, and change nothing."""
    call, table = await Call.of_table(request, "read", group, name)
    sent = await rows_of(call, Saving, table)
    planned = await call.run(call.store.plan, table, sent.frame, **sent.given)
    return call.result(await call.run(covered.plan, call.caller, call.store, planned))


@router.patch(_TABLE, **documented("Declare what a table is", body=Stating, gives=Commit))
async def declare(request: Request, group: Group, name: Name) -> Response:
    """Change what a table declares; none of its rows is written anew."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Stating)
    return call.result(await call.run(call.store.declare, table, **asked.given()))


@router.post(_TABLE + "/rename", **documented("Rename a feature", body=Renaming, gives=Commit))
async def rename(request: Request, group: Group, name: Name) -> Response:
    """Call a feature otherwise; its old name goes on to mean it."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Renaming)
    return call.result(await call.run(call.store.rename, table, **asked.given()))


@router.post(_TABLE + "/deprecate", **documented("Mark a feature as about to go", body=Deprecating, gives=Commit))
async def deprecate(request: Request, group: Group, name: Name) -> Response:
    """Mark a feature as about to go, or take the mark away; nothing else happens to it."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Deprecating)
    return call.result(await call.run(call.store.deprecate, table, **{"message": None, **asked.given()}))


@router.post(_TABLE + "/drop-columns", **documented("Take features away", body=DroppingColumns, gives=Commit))
async def drop_columns(request: Request, group: Group, name: Name) -> Response:
    """Take features away; the versions before keep them."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(DroppingColumns)
    return call.result(await call.run(call.store.drop_columns, table, **asked.given()))


@router.get("/definitions", **documented("Say what is declared", query=Defining, gives=Definitions, in_toml=True))
async def definitions(request: Request) -> Response:
    """Say what tables and feature services declare, as JSON or TOML that can be kept in git."""
    call = Call(request)
    asked = call.query(Defining)
    await call.may_use("read", asked.references) if asked.references else call.may("read")
    media = choose_media(request.headers.get("accept", ""), (JSON, TOML))
    found = await call.run(call.store.definitions, asked.references or None, every_column=asked.every_column)
    shown = covered.definitions(call.caller, found)
    return call.result(shown) if media == JSON else Response(write(shown), media_type=TOML)


@router.post(
    "/definitions", **documented("Apply definitions", query=Applying, body=ApplyingJson, gives=Applied, in_toml=True)
)
async def apply(request: Request) -> Response:
    """Make tables and feature services declare what definitions say; what these do not name stays as it is."""
    call = Call(request)
    call.may("read")
    wanted, given = await definitions_of(call)
    await call.may_apply("read" if given.get("plan") else "write", wanted)
    return call.result(await call.run(call.store.apply, wanted, **given))
