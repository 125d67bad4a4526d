"""The paths of Feast's feature server, in its own wire format."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.errors import InvalidInputError
from tiffin.server.document.openapi import documented
from tiffin.server.online.asking import Format, Question, ask
from tiffin.server.online.direct import DirectRoute, read_json
from tiffin.server.online.feast_format import FeastPush, FeastQuestion, FeastReply, FeastWrite, frame_of, write
from tiffin.server.requests.call import Call
from tiffin.store import FeatureStore

router = APIRouter(tags=["feast"])
reads = APIRouter(route_class=DirectRoute, tags=["feast"])


def _question(store: FeatureStore, asked: FeastQuestion) -> Question:
    if bool(asked.features) == bool(asked.feature_service):
        raise InvalidInputError("features or feature_service", hint="give one of them")
    features = store.service(asked.feature_service) if asked.feature_service else [*asked.features]
    return Question(features, asked.entities, asked.full_feature_names, others_are_left_out=True)


FEAST = Format(msgspec.json.Decoder(FeastQuestion), _question, write)
"""Feast's format."""


@reads.post("/get-online-features", **documented("Read features as Feast does", body=FeastQuestion, gives=FeastReply))
async def get_online_features(request: Request) -> bytes:
    """Read features of entities as they are now, for Feast's clients (online store type `remote`)."""
    asked = await read_json(request, FEAST.decoder)
    question = FEAST.question(request.app.state.store, asked)
    return await ask(request, question, partial(write, asked=asked))


@router.post("/push", **documented("Push rows as Feast does", body=FeastPush, gives=None))
async def push(request: Request) -> Response:
    """Append rows to the table that has the name of the push source."""
    call = Call(request)
    asked = await call.body(FeastPush)
    await _append(call, asked.push_source_name, asked.df, is_online=asked.to != "offline")
    return Response()


@router.post("/write-to-online-store", **documented("Write rows as Feast does", body=FeastWrite, gives=None))
async def write_to_online_store(request: Request) -> Response:
    """Append rows to the table that has the name of the feature view, and put them online."""
    call = Call(request)
    asked = await call.body(FeastWrite)
    await _append(call, asked.feature_view_name, asked.df, is_online=True)
    return Response(b"null", media_type="application/json")


async def _append(call: Call, view: str, columns: dict[str, list[Any]], *, is_online: bool) -> None:
    await call.may_use("write", [view])
    info = await call.run(call.store.describe, view)

    def save() -> None:
        frame = frame_of(columns, info, call.store.snapshot(info.table).known)
        call.store.push(info.table, frame) if is_online else call.store.save(info.table, frame, mode="append")

    # Feast takes no rows at all for nothing to do.
    if any(columns.values()):
        await call.run(save)
