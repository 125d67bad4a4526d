"""Routes of tables: list, describe, save, read, history, diff, restore, drop, push, materialize, explain."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.diff import Diff
from tiffin.materialize import Materialized
from tiffin.server.answers import covered, forms, reading
from tiffin.server.answers.forms import Frame
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.intake import rows_of
from tiffin.server.requests.parameters import (
    AtVersion,
    Dropping,
    Explaining,
    Materializing,
    Newest,
    Pushing,
    Question,
    Restoring,
    Saving,
    Shown,
    Versions,
)
from tiffin.tables.catalog import TableInfo
from tiffin.tables.table import Commit

router = APIRouter(tags=["tables"])

_TABLE = "/tables/{group}/{name}"


@router.get("/tables", **documented("List the tables", gives=list[TableInfo]))
async def tables(request: Request) -> Response:
    """List the tables that the caller may see, with what is known of them."""
    call = Call(request)
    call.may("read")
    infos = await call.run(call.store.tables)
    return call.result([covered.table(call.caller, info) for info in infos if call.caller.sees(info.table)])


@router.get(_TABLE, **documented("Describe a table", query=AtVersion, gives=TableInfo))
async def describe(request: Request, group: Group, name: Name) -> Response:
    """Describe a table: its columns, keys, size and versions."""
    call, table = await Call.of_table(request, "read", group, name)
    info = await call.run(call.store.describe, call.query(AtVersion).reference(table))
    return call.result(covered.table(call.caller, info))


@router.post(_TABLE, **documented("Save rows as the next version", frame=Saving, gives=Commit, repeatable=True))
async def save(request: Request, group: Group, name: Name) -> Response:
    """Save rows; when this is answered, they survive a power loss."""
    call, table = await Call.of_table(request, "write", group, name)
    sent = await rows_of(call, Saving, table)
    return call.result(await call.run(call.store.save, table, sent.frame, **sent.given, once=sent.once))


@router.delete(_TABLE, **documented("Drop a table", query=Dropping, gives=None, status=204))
async def drop(request: Request, group: Group, name: Name) -> Response:
    """Remove a table with all its versions, for good."""
    call, table = await Call.of_table(request, "write", group, name)
    await call.run(call.store.drop, table, force=call.query(Dropping).force)
    return Response(status_code=204)


@router.post(_TABLE + "/read", **documented("Read rows", query=Shown, body=Question, gives=Frame))
async def read(request: Request, group: Group, name: Name) -> Response:
    """Read a table, or some of its rows and columns, at any version."""
    call, table = await Call.of_table(request, "read", group, name)
    form = forms.form_of(call, nan=call.query(Shown).nan, envelope=forms.plain_envelope, name=name)
    asked = await call.body(Question)
    return await reading.answer(call, form, reading.asked_of(table, asked))


@router.get(_TABLE + "/history", **documented("List the versions", query=Newest, gives=list[Commit]))
async def history(request: Request, group: Group, name: Name) -> Response:
    """List the versions of a table that can be read, newest first."""
    call, table = await Call.of_table(request, "read", group, name)
    commits = await call.run(call.store.history, table, **call.query(Newest).given())
    return call.result(covered.made(call.caller, commits))


@router.get(_TABLE + "/diff", **documented("Compare two versions", query=Versions, gives=Diff))
async def diff(request: Request, group: Group, name: Name) -> Response:
    """Tell what changed between two versions of a table."""
    call, table = await Call.of_table(request, "read", group, name)
    return call.result(await call.run(call.store.diff, table, **call.query(Versions).given()))


@router.post(_TABLE + "/restore", **documented("Restore a version", body=Restoring, gives=Commit))
async def restore(request: Request, group: Group, name: Name) -> Response:
    """Make an older version the newest again; this is itself a version."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Restoring)
    return call.result(await call.run(call.store.restore, table, **asked.given()))


@router.post(
    _TABLE + "/push", **documented("Append rows and put them online", frame=Pushing, gives=Commit, repeatable=True)
)
async def push(request: Request, group: Group, name: Name) -> Response:
    """Append rows to a table and put them online, in one step."""
    call, table = await Call.of_table(request, "write", group, name)
    sent = await rows_of(call, Pushing, table)
    return call.result(await call.run(call.store.push, table, sent.frame, **sent.given, once=sent.once))


@router.post(
    _TABLE + "/materialize", **documented("Bring the online index up", body=Materializing, gives=list[Materialized])
)
async def materialize(request: Request, group: Group, name: Name) -> Response:
    """Bring the online index up to the newest version; a table that is not online becomes so."""
    call, table = await Call.of_table(request, "write", group, name)
    asked = await call.body(Materializing)
    return call.result(await call.run(call.store.materialize, table, from_scratch=asked.from_scratch))


@router.post(_TABLE + "/explain", **documented("Explain a value", body=Explaining, gives=dict[str, Any]))
async def explain(request: Request, group: Group, name: Name) -> Response:
    """Tell which row of which commit gives a value, and why not another."""
    call, table = await Call.of_table(request, "read", group, name)
    asked = await call.body(Explaining)
    return call.result(await call.run(call.store.explain, asked.reference(table), asked.key(), **asked.times()))
