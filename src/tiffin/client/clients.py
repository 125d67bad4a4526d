"""The clients: a store that others serve, asked over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from tiffin.client import calls
from tiffin.client.answer import OnlineAnswer
from tiffin.client.call import Call, Steps
from tiffin.client.calls.online import Plan
from tiffin.client.concurrent import ConcurrentTransport
from tiffin.client.options import KEY_VARIABLE, ClientOptions, proxy_for
from tiffin.client.pooled import PooledTransport
from tiffin.client.verbs import Later, Now, Verb
from tiffin.errors import TiffinError
from tiffin.features import Features

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8001"


class Verbs:
    """The methods of both clients: those of `tiffin.FeatureStore` that make sense from elsewhere, and the guides'.

    They have the same names, parameters, defaults, results and errors. `progress`, `use_cache`, `once` and `server` are
    for use at home: every save over HTTP has a name of its own.
    """

    save = Verb(calls.tables.save)
    push = Verb(calls.tables.push)
    read = Verb(calls.tables.read)
    tables = Verb(calls.tables.tables)
    describe = Verb(calls.tables.describe)
    history = Verb(calls.tables.history)
    diff = Verb(calls.tables.diff)
    restore = Verb(calls.tables.restore)
    drop = Verb(calls.tables.drop)

    plan = Verb(calls.evolution.plan)
    declare = Verb(calls.evolution.declare)
    rename = Verb(calls.evolution.rename)
    deprecate = Verb(calls.evolution.deprecate)
    drop_columns = Verb(calls.evolution.drop_columns)
    definitions = Verb(calls.evolution.definitions)
    apply = Verb(calls.evolution.apply)

    tag = Verb(calls.versions.tag)
    untag = Verb(calls.versions.untag)
    tags = Verb(calls.versions.tags)
    stage = Verb(calls.versions.stage)
    stages = Verb(calls.versions.stages)
    promote = Verb(calls.versions.promote)
    discard = Verb(calls.versions.discard)

    constrain = Verb(calls.constraints.constrain)
    unconstrain = Verb(calls.constraints.unconstrain)
    check = Verb(calls.constraints.check)
    quarantine = Verb(calls.constraints.quarantine)
    clear_quarantine = Verb(calls.constraints.clear_quarantine)

    profile = Verb(calls.catalogue.profile)
    drift = Verb(calls.catalogue.drift)
    lineage = Verb(calls.catalogue.lineage)
    openlineage = Verb(calls.catalogue.openlineage)
    search = Verb(calls.catalogue.search)

    derive = Verb(calls.derived.derive)
    refresh = Verb(calls.derived.refresh)
    derived = Verb(calls.derived.derived)
    register = Verb(calls.derived.register)
    registered = Verb(calls.derived.registered)
    unregister = Verb(calls.derived.unregister)
    prove = Verb(calls.derived.prove)

    get_historical_features = Verb(calls.training.get_historical_features)
    check_leakage = Verb(calls.training.check_leakage)
    explain = Verb(calls.training.explain)
    save_training_set = Verb(calls.training.save_training_set)
    training_sets = Verb(calls.training.training_sets)
    training_set = Verb(calls.training.training_set)
    examine_training_sets = Verb(calls.training.examine_training_sets)
    reproduce = Verb(calls.training.reproduce)
    drop_training_set = Verb(calls.training.drop_training_set)

    get_online_features = Verb(calls.online.get_online_features)
    materialize = Verb(calls.online.materialize)
    online_lag = Verb(calls.online.online_lag)
    verify = Verb(calls.online.verify)

    create_service = Verb(calls.services.create_service)
    services = Verb(calls.services.services)
    service = Verb(calls.services.service)
    drop_service = Verb(calls.services.drop_service)
    examine_services = Verb(calls.services.examine_services)

    stats = Verb(calls.upkeep.stats)
    vacuum = Verb(calls.upkeep.vacuum)
    compact = Verb(calls.upkeep.compact)
    examine = Verb(calls.upkeep.examine)

    get_feature = Verb(calls.guides.get_feature)
    save_feature = Verb(calls.guides.save_feature)
    get_batch_features = Verb(calls.guides.get_batch_features)
    get_feature_info = Verb(calls.guides.get_feature_info)


class Reach(TypedDict, total=False):
    """What can be set of how a server is reached; `ClientOptions` says what each means."""

    timeout_s: float
    connect_timeout_s: float
    read_timeout_s: float
    retries: int
    answer_bytes: int
    connections: int
    ca_file: str | None
    proxy: str | None


class FeatureStoreClient(Verbs, Now):
    """A feature store that a server holds, with the methods of `tiffin.FeatureStore`.

    Threads can share a client, and it goes on working after a fork. Nothing is sent before the first call.

    Parameters
    ----------
    base_url : str
        Where the server listens.
    key : str, optional
        API key; `TIFFIN_API_KEY` if left out. It is sent to this server alone, and shown nowhere.
    **reach : object
        `timeout_s`, `connect_timeout_s`, `read_timeout_s`, `retries`, `answer_bytes`, `connections`, `ca_file` and
        `proxy`: `ClientOptions` says what they mean. Without `proxy`, the one that the environment names is used,
        unless the server is on this machine.

    Raises
    ------
    InvalidInputError
        The address, the key or a number is not allowed.

    Examples
    --------
    >>> store = tiffin.connect("http://127.0.0.1:8001")
    >>> store.get_online_features(["user/ratings:mean"], [{"user_id": 7}]).to_dict()
    {'user_id': [7], 'mean': [4.5]}
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, key: str | None = None, **reach: Unpack[Reach]) -> None:
        self._transport = PooledTransport(_options(base_url, key, reach))

    def prepare(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan:
        """Find out once which features are asked for, and that they can be read.

        As `FeatureStore.prepare`.

        Returns
        -------
        OnlinePlan
            `plan.read(entity_rows)` reads.
        """
        return OnlinePlan(self, self._do(calls.online.plan, features, full_feature_names=full_feature_names))

    def close(self) -> None:
        """Close the connections. The client can still be used."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureStoreClient({self._transport.options.url!r})"

    def _do(self, describe: Callable[..., Call[T] | Steps[T]], *args: Any, **kwargs: Any) -> T:
        asked = describe(*args, **kwargs)
        if isinstance(asked, Call):
            return self._transport.send(asked)
        step = partial(next, asked)
        while True:
            try:
                call = step()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # Steps[T] says what it is
            try:
                step = partial(asked.send, self._transport.send(call))
            except TiffinError as error:
                step = partial(asked.throw, error)


class AsyncFeatureStoreClient(Verbs, Later):
    """The twin of `FeatureStoreClient` for programs on an event loop: every method is awaited.

    A client belongs to the event loop on which it is first used; many calls can be under way at once.

    Parameters
    ----------
    base_url, key, **reach
        As for `FeatureStoreClient`.

    Raises
    ------
    InvalidInputError
        The address, the key or a number is not allowed.

    Examples
    --------
    >>> async with tiffin.AsyncFeatureStoreClient("http://127.0.0.1:8001") as store:
    ...     answer = await store.get_online_features(["user/ratings:mean"], [{"user_id": 7}])
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, key: str | None = None, **reach: Unpack[Reach]) -> None:
        self._transport = ConcurrentTransport(_options(base_url, key, reach))

    async def prepare(self, features: Features, *, full_feature_names: bool = False) -> AsyncOnlinePlan:
        """Find out once which features are asked for, and that they can be read; see `FeatureStoreClient.prepare`."""
        return AsyncOnlinePlan(self, await self._do(calls.online.plan, features, full_feature_names=full_feature_names))

    async def close(self) -> None:
        """Close the connections. The client can still be used."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncFeatureStoreClient({self._transport.options.url!r})"

    async def _do(self, describe: Callable[..., Call[T] | Steps[T]], *args: Any, **kwargs: Any) -> T:
        asked = describe(*args, **kwargs)
        if isinstance(asked, Call):
            return await self._transport.send(asked)
        step = partial(next, asked)
        while True:
            try:
                call = step()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # Steps[T] says what it is
            try:
                step = partial(asked.send, await self._transport.send(call))
            except TiffinError as error:
                step = partial(asked.throw, error)


class OnlinePlan:
    """Reads the same features again and again; made by `FeatureStoreClient.prepare`.

    Attributes
    ----------
    references : tuple of str
        What is read. A feature service is what it was when the plan was prepared.
    """

    def __init__(self, client: FeatureStoreClient, plan: Plan) -> None:
        self.references = plan.references
        self._client = client
        self._plan = plan

    def __repr__(self) -> str:
        return f"OnlinePlan({list(self.references)!r})"

    def read(self, entity_rows: Any, *, at: datetime | None = None) -> OnlineAnswer:
        """Read the features of some entities; parameters, result and errors are those of `serving.OnlinePlan`."""
        return self._client._do(self._plan.read, entity_rows, at=at)  # noqa: SLF001 - made by it


class AsyncOnlinePlan:
    """The twin of `OnlinePlan`; made by `AsyncFeatureStoreClient.prepare`.

    Attributes
    ----------
    references : tuple of str
        As of `OnlinePlan`.
    """

    def __init__(self, client: AsyncFeatureStoreClient, plan: Plan) -> None:
        self.references = plan.references
        self._client = client
        self._plan = plan

    def __repr__(self) -> str:
        return f"AsyncOnlinePlan({list(self.references)!r})"

    async def read(self, entity_rows: Any, *, at: datetime | None = None) -> OnlineAnswer:
        """Read the features of some entities; see `OnlinePlan.read`."""
        return await self._client._do(self._plan.read, entity_rows, at=at)  # noqa: SLF001 - made by it


def connect(url: str = DEFAULT_URL, *, key: str | None = None, **reach: Unpack[Reach]) -> FeatureStoreClient:
    """Return a client of the server at an address; see `FeatureStoreClient`."""
    return FeatureStoreClient(url, key=key, **reach)


def _options(url: str, key: str | None, reach: Reach) -> ClientOptions:
    given: dict[str, Any] = {"proxy": proxy_for(url, os.environ), **reach}
    return ClientOptions(url=url, key=os.environ.get(KEY_VARIABLE) or None if key is None else key, **given)
