"""Whether the online index, and a server, answer what the tables say: all are asked about the same entities."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.features import Features, Wanted, resolve
from tiffin.online import KeyCodec
from tiffin.schema import dtypes
from tiffin.serving import OnlineAnswer, OnlinePlan, Plans, Status
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.training import joining

MOST_ENTITIES = 50_000
"""Entities of a table that can be compared at once, from either side."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENT = pl.Datetime("us", "UTC")
_SHOWN = 10
_KEPT = 1000


class Server(Protocol):
    """What answers over HTTP: a client of it."""

    def get_online_features(self, features: Sequence[str], entity_rows: Any, *, full_feature_names: bool) -> Any:
        """Return the server's `OnlineAnswer`."""


Answers = dict[str, list[tuple[Any, Status]]]
"""A value and a status for each entity, by feature."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A value that the index, or the server, answers otherwise than the table."""

    entity: dict[str, Any]
    feature: str
    offline: Any
    offline_status: Status
    online: Any
    online_status: Status
    by_server: bool = False
    """Whether the online answer is the server's."""

    def __str__(self) -> str:
        entity = ", ".join(f"{name}={value!r}" for name, value in self.entity.items()) or "the series"
        online = "server" if self.by_server else "online"
        sides = f"offline {self.offline!r} ({self.offline_status}), {online} {self.online!r} ({self.online_status})"
        return f"{entity}, {self.feature}: {sides}"


class TableVerification(msgspec.Struct, frozen=True, kw_only=True):
    """How one table and its online rows compare."""

    table: str
    version: int
    """The version that the index answered from, and with which it was compared."""
    moment: datetime
    """As of when both sides were asked, UTC."""
    lag: int
    """How many versions the index was behind before it was asked, which made it catch up."""
    entities_compared: int
    values_compared: int
    values_different: int
    server_different: int | None = None
    """Values that the server answered otherwise; None if none was asked."""
    differences: tuple[Difference, ...]
    """The first thousand of the index, then of the server."""
    entities_offline: int
    entities_online: int | None
    """None if they changed while they were counted."""

    @property
    def ok(self) -> bool:
        """Whether both sides agree."""
        differ = self.values_different or self.server_different
        return not differ and self.entities_online in (None, self.entities_offline)

    def __str__(self) -> str:
        about = f"{self.table} version {self.version}: {self.values_compared:,} values"
        about += f" of {self.entities_compared:,} of {self.entities_offline:,} entities"
        late = f"; the index was {self.lag} versions behind and caught up" if self.lag else ""
        if self.ok:
            return f"{about} agree{late}"
        lines = [f"{about}, {self.values_different:,} differ{late}"]
        if self.entities_online not in (None, self.entities_offline):
            lines.append(f"  the table has {self.entities_offline:,} entities, the index {self.entities_online:,}")
        if self.server_different:
            lines.append(f"  {self.server_different:,} values of the server differ")
        differ = self.values_different + (self.server_different or 0)
        lines += [f"  {difference}" for difference in self.differences[:_SHOWN]]
        lines += [f"  … and {differ - _SHOWN:,} more"] if differ > _SHOWN else []
        return "\n".join([*lines, f"  hint: fill it anew: store.materialize({self.table!r}, from_scratch=True)"])


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """How tables and their online rows compare."""

    tables: tuple[TableVerification, ...]

    @property
    def ok(self) -> bool:
        """Whether both sides agree on all tables."""
        return all(table.ok for table in self.tables)

    def __str__(self) -> str:
        return "\n".join(map(str, self.tables)) or "no table is online"


def verify(
    plans: Plans,
    features: Features,
    *,
    sample: int,
    seed: int,
    server: Server | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> Verification:
    """Compare what the index, and a server, answer with what the tables say.

    Parameters
    ----------
    plans : Plans
        Reads the index.
    features : Features
        References, or a feature service: of each table the features that they name are compared.
    sample : int
        How many entities of each table, and how many of its online rows.
    seed : int
        Which ones.
    server : Server, optional
        Is asked the same.
    clock : callable, optional
        Nanoseconds since 1970-01-01 UTC.

    Returns
    -------
    Verification

    Raises
    ------
    InvalidInputError
        The sample is no number from 1 to 50,000, or a reference pins a version.
    NotOnline
        A table is not online.
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or not 1 <= sample <= MOST_ENTITIES:
        raise InvalidInputError(f"sample is {sample!r}", hint=f"give a whole number from 1 to {MOST_ENTITIES:,}")
    wanted = resolve(plans.catalog, plans.registry, features, full_feature_names=True)
    return Verification(tables=tuple(_verify(plans, one, _Sampling(sample, seed, clock), server) for one in wanted))


class _Sampling(NamedTuple):
    """How entities are chosen, and when it is."""

    size: int
    seed: int
    clock: Callable[[], int]


def _verify(plans: Plans, one: Wanted, sampling: _Sampling, server: Server | None) -> TableVerification:
    table, features, index = one.table, one.features, plans.materializer.index
    lag = one.state.version - plans.materializer.watermark(one.state)
    pin = f"@{one.state.version}" if one.pinned else ""
    references = [f"{table.name}{pin}:{feature}" for feature in features]
    plan = plans.prepare(references)
    state = table.log.require()
    known = _entities(table, state)
    rows = _sampled(known, state, index.keys(state.metadata.id, sampling.size), sampling)
    moment = _EPOCH + sampling.clock() // 1000 * _MICROSECOND
    online = plan.read(rows.to_dicts(), at=moment)
    version = online.versions[str(table.name)]
    count = index.count(state.metadata.id)
    is_quiet = state.version == version == plans.materializer.watermark(state)
    offline = _offline(table, table.log.at(version), _Question(features, rows, moment, known))
    differences = list(_differences(rows, offline, _online(online)))
    served = [] if server is None else list(_served(server, references, rows, plan, online))
    return TableVerification(
        table=str(table.name),
        version=version,
        moment=moment,
        lag=lag,
        entities_compared=rows.height,
        values_compared=rows.height * len(features),
        values_different=len(differences),
        server_different=None if server is None else len(served),
        differences=(*differences[:_KEPT], *served[:_KEPT]),
        entities_offline=known.height,
        entities_online=count if is_quiet else None,
    )


def _entities(table: Table, state: State) -> pl.DataFrame:
    """List the entities that have a row, each once; one without columns for a table that is a series."""
    spec = state.spec
    adds = list(state.files.values())
    with table.reading(state):
        rows = table.data.scan(adds, spec).drop_nulls([*spec.entity, *([spec.timestamp] if spec.timestamp else [])])
        if not spec.entity:
            count = table.data.collect(rows.select(pl.len()), adds).item()
            return pl.DataFrame(height=min(count, 1))
        return dtypes.from_stored(table.data.collect(rows.select(spec.entity).unique(), adds), spec.dtypes)


def _sampled(known: pl.DataFrame, state: State, keys: Sequence[bytes], sampling: _Sampling) -> pl.DataFrame:
    """Choose entities of the table and of the index."""
    if not state.spec.entity:
        return pl.DataFrame(height=1)
    codec = KeyCodec({name: state.spec.dtypes[name] for name in state.spec.entity})
    online = [entity for key in keys if (entity := codec.decode(key)) is not None]
    chosen = known.sample(min(sampling.size, known.height), seed=sampling.seed)
    return pl.concat([chosen, pl.DataFrame(online, schema=known.schema, orient="row")]).unique(maintain_order=True)


def _online(answer: OnlineAnswer) -> Answers:
    values, statuses = answer.to_dict(), answer.statuses
    return {name: list(zip(values[name], found, strict=True)) for name, found in statuses.items()}


def _served(
    server: Server, references: Sequence[str], rows: pl.DataFrame, plan: OnlinePlan, before: OnlineAnswer
) -> Iterator[Difference]:
    """Compare what a server answers with the index, which says the same as the table or has been found out.

    The server answers as of a moment, and maybe a version, between those of two reads of the index: a value that is as
    either of them has it is right.
    """
    answer = _online(server.get_online_features(references, rows.to_dicts(), full_feature_names=False))
    after = _online(plan.read(rows.to_dicts()))
    late = {(difference.feature, tuple(difference.entity.items())) for difference in _differences(rows, after, answer)}
    for difference in _differences(rows, _online(before), answer):
        if (difference.feature, tuple(difference.entity.items())) in late:
            yield msgspec.structs.replace(difference, by_server=True)


class _Question(NamedTuple):
    """What is asked of both sides."""

    features: tuple[str, ...]
    rows: pl.DataFrame
    """The entities."""
    moment: datetime
    known: pl.DataFrame
    """All entities that the table has."""


def _offline(table: Table, state: State, question: _Question) -> Answers:
    """Ask a version of a table, as a training frame would."""
    spec, (features, rows, moment, known) = state.spec, question
    keys = rows.select(spec.entity)
    times = pl.repeat(moment, rows.height, dtype=_MOMENT, eager=True) if spec.timestamp else None
    valid = joining.join(table, state, features, keys, times)
    # At any age, to tell a row that is too old from none.
    ever = joining.join(table, state, features, keys, times, ttl=timedelta.max, with_time=True)
    if spec.timestamp:
        oldest = moment - spec.ttl if spec.ttl else None
        missing = [_missing(time, oldest) for time in ever[joining.TIME].cast(_MOMENT)]
    else:
        there = keys.join(known.with_columns(there=True), on=spec.entity, how="left", maintain_order="left")["there"]
        missing = [None if is_there else Status.NOT_FOUND for is_there in there]
    answers: Answers = {}
    for feature in features:
        default = spec.defaults.get(feature)
        values = [default if value is None else value for value in valid[feature].to_list()]
        nulls = ever[feature].is_null()
        filled = [Status.NULL_VALUE if is_null else Status.PRESENT for is_null in nulls]
        answers[feature] = [(value, gap or status) for value, gap, status in zip(values, missing, filled, strict=True)]
    return answers


def _missing(time: datetime | None, oldest: datetime | None) -> Status | None:
    if time is None:
        return Status.NOT_FOUND
    return Status.OUTSIDE_MAX_AGE if oldest is not None and time < oldest else None


def _differences(rows: pl.DataFrame, offline: Answers, online: Answers) -> Iterator[Difference]:
    entities = rows.to_dicts()
    for feature, answers in offline.items():
        for entity, here, there in zip(entities, answers, online[feature], strict=True):
            if here[1] != there[1] or not _same(here[0], there[0]):
                yield Difference(
                    entity=entity,
                    feature=feature,
                    offline=here[0],
                    offline_status=here[1],
                    online=there[0],
                    online_status=there[1],
                )


def _same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same, where NaN is the same as NaN, also inside lists and structs."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(value, b[name]) for name, value in a.items())
    return type(a) is type(b) and bool(a == b)
