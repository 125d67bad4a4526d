"""Routes of the guides: a table's rows in pages, saves of records, facts, and several tables at once."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.server.answers import batch, forms, reading
from tiffin.server.document.openapi import Group, Name, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.intake import rows_of
from tiffin.server.requests.parameters import Page, Records, Several, split
from tiffin.simple.lookup import storage_info

router = APIRouter(prefix="/features", tags=["features"])

_TABLE = "/{group}/{name}"


@router.post("/batch", **documented("Read rows of several tables", body=Several, gives=batch.Batch))
async def several(request: Request) -> Response:
    """Read rows of several tables by their keys, each as of one time."""
    call = Call(request)
    call.may("read")
    return await batch.answer(call, await call.body(Several))


@router.get(
    _TABLE,
    **documented("Read a page of a table", query=Page, gives=batch.FeaturePage, in_formats=True, is_tagged=True),
)
async def page(request: Request, group: Group, name: Name) -> Response:
    """Read rows of a table, a page at a time; also as Arrow, Parquet or CSV."""
    call, table = await Call.of_table(request, "read", group, name)
    asked = call.query(Page)
    rows = msgspec.structs.replace(reading.asked_of(table, asked), columns=split(asked.columns))
    form = forms.form_of(call, nan=asked.nan, envelope=batch.page_of(*table.split("/")), name=name)
    return await reading.answer(call, form, rows)


@router.post(_TABLE, **documented("Save records", frame=Records, rows="records", gives=batch.Saved, repeatable=True))
async def save(request: Request, group: Group, name: Name) -> Response:
    """Save records in place of what the table held; its columns may change."""
    call, table = await Call.of_table(request, "write", group, name)
    sent = await rows_of(call, Records, table, rows="records")
    commit = await call.run(call.store.save, table, sent.frame, evolve=True, once=sent.once)
    return call.result(batch.saved(commit))


@router.get(_TABLE + "/info", **documented("Tell how a table is stored", gives=batch.Facts))
async def info(request: Request, group: Group, name: Name) -> Response:
    """Tell whether a table exists, its size, rows and columns, without reading it."""
    call, table = await Call.of_table(request, "read", group, name)
    facts = await call.run(storage_info, call.store, *table.split("/"))
    return call.result(batch.Facts(storage_info=facts))
