"""Asking the online index on behalf of a request: at once if that is quick, else in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import msgspec

from tiffin.derived.answering import OnDemandPlan
from tiffin.errors import TableNotFound, TooLarge
from tiffin.server.requests.call import check_references
from tiffin.serving import OnlinePlan
from tiffin.wire.media import JSON

if TYPE_CHECKING:
    from starlette.requests import Request

    from tiffin.derived.answering import OnDemandAnswer
    from tiffin.features import Features
    from tiffin.server.caller import Caller
    from tiffin.server.edge.hosts import Headers
    from tiffin.server.options import Limits
    from tiffin.serving import OnlineAnswer
    from tiffin.store import FeatureStore

    Answer = OnlineAnswer | OnDemandAnswer

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
Entities = list[dict[str, Any]] | dict[str, list[Any]]

AT_ONCE = 250
"""Entities that are read and answered while other requests wait: handing them to a thread takes about as long."""

_JSON = JSON.encode()
_NEAR = (None, "lmdb")
"""Indexes that are read without a network."""

# Its own few threads, so that no slow download stands before an online read.
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="online")


class Question(msgspec.Struct, frozen=True, gc=False):
    """What is asked of the online index."""

    features: Features
    """References, or the name of a feature service."""
    entities: Entities
    """As they were read from JSON."""
    full_feature_names: bool
    others_are_left_out: bool = False
    """Whether columns that are no entity columns are passed over; else they are refused."""
    at: datetime | None = None
    """As of when; now, if left out."""


@dataclass(frozen=True)
class Format(Generic[A]):
    """How a question is written, and its answer."""

    decoder: msgspec.json.Decoder[A]
    """Reads the body of a request."""
    question: Callable[[FeatureStore, A], Question]
    """Tells what it asks."""
    write: Callable[[Answer, A], bytes]
    """Writes the answer to it as JSON."""


class Glance(Generic[A]):
    """A route that answers from the body of a request if a look into the index is all it takes.

    Parameters
    ----------
    path : str
        Of the route.
    form : Format
        How it is written.
    store : FeatureStore
        What is read.
    limits : Limits
        How much one request may ask for.
    query : str
        What follows the path in a request, if it is written so: from the question mark on.
    """

    def __init__(self, path: str, form: Format[A], store: FeatureStore, limits: Limits, query: str = "") -> None:
        self.path = path
        self.query = query
        self._form = form
        self._store = store
        self._limits = limits

    def __call__(self, caller: Caller, headers: Headers, body: bytes) -> tuple[bytes, int] | None:
        """Return the answer and the number of its entities; None if it takes more.

        Raises
        ------
        msgspec.MsgspecError, UnicodeError, TiffinError
            It is not answered; `ask` tells why.
        """
        if headers.get(b"content-type") != _JSON:
            return None
        store, form = self._store, self._form
        asked = form.decoder.decode(body)
        question = form.question(store, asked)
        count = _count(question, self._limits)
        plan = store.plans.known(question.features, full_feature_names=question.full_feature_names)
        if plan is None:
            return None
        caller.require("read", plan.tables)
        answer = _glance(store, plan, question, count)
        return None if answer is None else (form.write(answer, asked), count)


async def ask(request: Request, question: Question, write: Callable[[Answer], T]) -> T:
    """Read features of entities, and write the answer.

    Parameters
    ----------
    request : Request
        Whose caller asks; the caller must have the right to read all tables that are asked.
    question : Question
        What is asked.
    write : callable
        Makes of the answer what is sent.

    Raises
    ------
    TooLarge
        It asks about more entities than one request may.
    Unauthenticated, Forbidden
        The caller may not read the tables.
    TiffinError
        What `FeatureStore.get_online_features` raises.
    """
    # Not through `request.state`, which is made anew for each request.
    app, state = request.scope["app"].state, request.scope["state"]
    store: FeatureStore = app.store
    caller: Caller = state["caller"]
    state["rows"] = count = _count(question, app.options.limits)
    known = store.plans.known(question.features, full_feature_names=question.full_feature_names)
    if known is not None:
        caller.require("read", known.tables)
    plan = known or await _prepared(store, caller, question)
    answer = _glance(store, plan, question, count) if isinstance(plan, OnlinePlan) else None
    if answer is not None:
        return write(answer)
    try:
        return await _in_thread(_read, plan, question, write)
    except TableNotFound:
        if known is None:
            raise
        # On-demand features may have its name by now.
        return await _in_thread(_read, await _prepared(store, caller, question), question, write)


async def _prepared(store: FeatureStore, caller: Caller, question: Question) -> OnlinePlan | OnDemandPlan:
    """Make the plan, if the caller may read what it takes: errors would tell of what they may not."""
    caller.require("read")
    caller.require("read", await _in_thread(store.tables_of, question.features))
    recall = partial(store.recall, full_feature_names=question.full_feature_names)
    plan = await _in_thread(recall, question.features)
    if isinstance(plan, OnDemandPlan):
        caller.require("read", plan.computed)
    return plan


def _glance(store: FeatureStore, plan: OnlinePlan, question: Question, count: int) -> OnlineAnswer | None:
    """Read now, while other requests wait, if that is soon done."""
    if count > AT_ONCE or question.at is not None or store.settings.online_index not in _NEAR:
        return None
    return plan.glance(_needed(question, plan), from_json=True)


def _read(plan: OnlinePlan | OnDemandPlan, question: Question, write: Callable[[Answer], T]) -> T:
    return write(plan.read(_needed(question, plan), at=question.at, from_json=True))


def _needed(question: Question, plan: OnlinePlan | OnDemandPlan) -> Entities:
    """Return the entities, without the columns that are to be left out."""
    entities = question.entities
    needed = plan.entity if isinstance(plan, OnlinePlan) else dict.fromkeys((*plan.entity, *plan.request))
    if question.others_are_left_out and isinstance(entities, dict) and entities.keys() >= {*needed}:
        return {name: entities[name] for name in needed}
    # If one is missing, what there is helps to say so.
    return entities


def _count(question: Question, limits: Limits) -> int:
    """Count the entities; refuse more of them, or of references, than one request may have."""
    check_references(question.features, limits)
    entities = question.entities
    count = len(entities) if isinstance(entities, list) else max(map(len, entities.values()), default=0)
    if count > limits.entities:
        raise TooLarge(
            f"{count:,} entities are asked about; {limits.entities:,} may be at once", hint="ask in several requests"
        )
    return count


async def _in_thread(work: Callable[P, T], *args: P.args, **_none: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *args)
