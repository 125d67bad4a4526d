"""Online reads, answered as fast as they are read."""

from __future__ import annotations

from functools import partial

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from tiffin.derived.answering import OnDemandAnswer
from tiffin.server.document.openapi import documented
from tiffin.server.online.asking import Format, Question, ask
from tiffin.server.online.direct import DirectRoute, read_json
from tiffin.server.online.own_format import OnlineQuestion, OnlineReply, write
from tiffin.server.requests.call import Call
from tiffin.server.requests.parameters import Shown, moment
from tiffin.serving import OnlineAnswer
from tiffin.store import FeatureStore

router = APIRouter(route_class=DirectRoute, tags=["online"])

_write_in_words = partial(write, in_words=True)


def _written(answer: OnlineAnswer | OnDemandAnswer, _asked: OnlineQuestion) -> bytes:
    return write(answer)


def _written_in_words(answer: OnlineAnswer | OnDemandAnswer, _asked: OnlineQuestion) -> bytes:
    return write(answer, in_words=True)


def _question(_store: FeatureStore, asked: OnlineQuestion) -> Question:
    at = None if asked.at is None else moment(asked.at)
    return Question(asked.features, asked.entity_rows, asked.full_feature_names, at=at)


OWN = Format(msgspec.json.Decoder(OnlineQuestion), _question, _written)
"""The store's own format."""
OWN_IN_WORDS = Format(OWN.decoder, _question, _written_in_words)
"""The same with words for floats that are no numbers, as Tiffin's clients ask for them."""


@router.post("/online", **documented("Read features online", query=Shown, body=OnlineQuestion, gives=OnlineReply))
async def online(request: Request) -> bytes:
    """Read features of entities as they are now, from the online index."""
    is_worded = bool(request.scope["query_string"]) and Call(request).query(Shown).nan == "text"
    asked = await read_json(request, OWN.decoder)
    question = OWN.question(request.app.state.store, asked)
    return await ask(request, question, _write_in_words if is_worded else write)
