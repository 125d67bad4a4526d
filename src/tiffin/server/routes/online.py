"""Online reads, answered as fast as they are read."""

from __future__ import annotations

from functools import partial

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from tiffin.server.document.openapi import documented
from tiffin.server.online.asking import Question, ask
from tiffin.server.online.direct import DirectRoute, read_json
from tiffin.server.online.own_format import OnlineQuestion, OnlineReply, write
from tiffin.server.requests.call import Call
from tiffin.server.requests.parameters import Shown, moment

router = APIRouter(route_class=DirectRoute, tags=["online"])

_QUESTION = msgspec.json.Decoder(OnlineQuestion)
_write_in_words = partial(write, in_words=True)


@router.post("/online", **documented("Read features online", query=Shown, body=OnlineQuestion, gives=OnlineReply))
async def online(request: Request) -> bytes:
    """Read features of entities as they are now, from the online index."""
    is_worded = bool(request.scope["query_string"]) and Call(request).query(Shown).nan == "text"
    asked = await read_json(request, _QUESTION)
    at = None if asked.at is None else moment(asked.at)
    question = Question(asked.features, asked.entity_rows, asked.full_feature_names, at=at)
    return await ask(request, question, _write_in_words if is_worded else write)
