"""Asking the online index on behalf of a request: at once if that is quick, else in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from tiffin.errors import TooLarge

if TYPE_CHECKING:
    from starlette.requests import Request

    from tiffin.features import Features
    from tiffin.server.caller import Caller
    from tiffin.serving import OnlineAnswer, OnlinePlan
    from tiffin.store import FeatureStore

P = ParamSpec("P")
T = TypeVar("T")
Entities = list[dict[str, Any]] | dict[str, list[Any]]

AT_ONCE = 250
"""Entities that are read and answered while other requests wait: handing them to a thread takes about as long."""

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


async def ask(request: Request, question: Question, write: Callable[[OnlineAnswer], T]) -> T:
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
    state["rows"] = count = _count(question.entities)
    _check(count, app.options.limits.entities)
    plan = store.plans.known(question.features, full_feature_names=question.full_feature_names)
    if plan is None:
        plan = await _prepared(store, caller, question)
    else:
        caller.require("read", plan.tables)
    entities = _needed(question, plan) if question.others_are_left_out else question.entities
    if count <= AT_ONCE and question.at is None and store.settings.online_index in _NEAR:
        answer = plan.glance(entities, from_json=True)
        if answer is not None:
            return write(answer)
    return await _in_thread(_read, plan, entities, question.at, write)


async def _prepared(store: FeatureStore, caller: Caller, question: Question) -> OnlinePlan:
    """Make the plan, if the caller may read what it takes: errors would tell of what they may not."""
    caller.require("read")
    caller.require("read", await _in_thread(store.tables_of, question.features))
    recall = partial(store.plans.recall, full_feature_names=question.full_feature_names)
    return await _in_thread(recall, question.features)


def _read(plan: OnlinePlan, entities: Entities, at: datetime | None, write: Callable[[OnlineAnswer], T]) -> T:
    return write(plan.read(entities, at=at, from_json=True))


def _needed(question: Question, plan: OnlinePlan) -> Entities:
    """Return the entities, without the columns that are to be left out."""
    entities = question.entities
    if isinstance(entities, dict) and entities.keys() >= {*plan.entity}:
        return {name: entities[name] for name in plan.entity}
    # If one is missing, what there is helps to say so.
    return entities


def _check(count: int, most: int) -> None:
    if count > most:
        raise TooLarge(f"{count:,} entities are asked about; {most:,} may be at once", hint="ask in several requests")


def _count(entities: Entities) -> int:
    return len(entities) if isinstance(entities, list) else max(map(len, entities.values()), default=0)


async def _in_thread(work: Callable[P, T], *args: P.args, **_none: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *args)
