"""Prepared plans: what a list of features takes from the online index, found out once and followed as tables change."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tiffin.errors import CommitConflict, IndexDamaged, InvalidInputError
from tiffin.features import Features, Wanted, answer_names, references, resolve, warn_of_deprecated, warn_of_majors
from tiffin.locks import new_lock
from tiffin.materialize import Materializer
from tiffin.materialize import layout as layouts
from tiffin.registry import Registry, Service
from tiffin.serving import watch
from tiffin.serving.answer import Column, OnlineAnswer, Shape
from tiffin.serving.entities import Intake
from tiffin.serving.part import Part
from tiffin.tables.catalog import Catalog

_ATTEMPTS = 20
_MOST_PLANS = 256
_PUNCTUATION = frozenset("/:@")
"""What tells a reference from the name of a service."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Made(NamedTuple):
    """What a plan found out."""

    shape: Shape
    parts: tuple[Part, ...]
    tables: tuple[str, ...]


class Plans:
    """Makes plans, and remembers those of plain calls.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    registry : Registry
        The feature services.
    materializer : Materializer
        Fills the index where it lags behind a table.
    """

    def __init__(self, catalog: Catalog, registry: Registry, materializer: Materializer) -> None:
        self.catalog = catalog
        self.registry = registry
        self.materializer = materializer
        self.watch = watch.Watch(materializer)
        self._known: OrderedDict[tuple[Hashable, bool], OnlinePlan] = OrderedDict()
        self._lock = new_lock()

    def prepare(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan:
        """Find out what a list of features takes; see `FeatureStore.prepare`."""
        warn_of_majors(self.catalog, self.registry, features)
        return OnlinePlan(self, references(self.catalog, self.registry, features), full_feature_names)

    def recall(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan:
        """Return the plan of a list of features, which is made when it is first asked for."""
        question = (self._question(features), full_feature_names)
        plan = self._look_up(question)
        if plan is None:
            plan = self.prepare(features, full_feature_names=full_feature_names)
            with self._lock:
                self._known[question] = plan
                if len(self._known) > _MOST_PLANS:
                    self._known.popitem(last=False)
        return plan

    def known(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan | None:
        """Return the plan that `recall` would, if that needs not make it."""
        return self._look_up((self._question(features), full_feature_names))

    def _look_up(self, question: tuple[Hashable, bool]) -> OnlinePlan | None:
        try:
            with self._lock:
                plan = self._known[question]
                self._known.move_to_end(question)
        except (KeyError, TypeError):
            # Not known, or no features at all, which is refused when the plan is made.
            return None
        return plan

    def _question(self, features: Features) -> Hashable:
        """Return what is the same as long as features mean the same."""
        if isinstance(features, list):
            return (*features,)
        if isinstance(features, str) and not _PUNCTUATION.intersection(features):
            # It may be the name of a service, which may have been saved anew since.
            return features, self.registry.edition(features)
        return features if isinstance(features, str | Service) else references(self.catalog, self.registry, features)


class OnlinePlan:
    """Reads the same features again and again, without finding out anything anew.

    It can be used from several threads and after a fork, and follows the tables: what is saved, restored, added to
    their schemas or declared otherwise is in the next answer.

    Attributes
    ----------
    references : tuple of str
        What is read. A feature service is what it was when the plan was prepared.
    """

    def __init__(self, plans: Plans, asked: tuple[str, ...], full_feature_names: bool) -> None:
        self.references = asked
        self._plans = plans
        self._full_feature_names = full_feature_names
        self._made = self._make()
        self._look_at = time.monotonic() + watch.LOOK_AFTER_S

    def __repr__(self) -> str:
        return f"OnlinePlan({list(self.references)!r})"

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are read, as `group/name`."""
        return self._made.tables

    @property
    def entity(self) -> tuple[str, ...]:
        """The entity columns of the tables."""
        return self._made.shape.intake.names

    def read(self, entity_rows: Any, *, at: datetime | None = None, from_json: bool = False) -> OnlineAnswer:
        """Read the features of some entities.

        Parameters
        ----------
        entity_rows : sequence of dicts, dict of sequences, or frame
            The entities: a value for each entity column of the tables that are read.
        at : datetime, optional
            The moment as of which to answer; now, if left out. Without a zone it is UTC. It must not be before the
            tables were last saved to: the index keeps no older rows.
        from_json : bool
            Whether the keys were read from JSON, where times, decimals and bytes (in base64) are texts.

        Returns
        -------
        OnlineAnswer

        Raises
        ------
        InvalidInputError
            An entity column is missing, is not asked for, or holds something else than keys; names row and column.
        LimitError
            Too many entities for one call.
        TableNotFound, FeatureNotFound, NotOnline
            A table was dropped, lost a feature, or was taken out of the index.
        OnlineUnavailable, StorageError
            The index cannot be read.
        """
        moment = time.time_ns() // 1000 if at is None else _micros(at)
        if time.monotonic() >= self._look_at:
            self._look()
        was_reset = False
        for _ in range(_ATTEMPTS):
            try:
                answer = self._ask(self._made, entity_rows, moment, from_json=from_json)
            except IndexDamaged:
                if was_reset:
                    raise
                # It is filled again from the tables, when the plan is made anew.
                self._plans.materializer.index.reset()
                answer, was_reset = None, True
            except InvalidInputError:
                # The entities may be those of the tables as they are now.
                if self._is_current(self._made.parts):
                    raise
                answer = None
            if answer is not None:
                return answer
            self._made = self._make()
        raise self._too_busy()

    def glance(self, entity_rows: Any, *, from_json: bool = False) -> OnlineAnswer | None:
        """Read the features of some entities if looking into the index is all it takes.

        Returns
        -------
        OnlineAnswer or None
            As `read` gives it; None if that has to look after the tables or the index first, or would refuse.
        """
        if time.monotonic() >= self._look_at:
            return None
        made = self._made
        try:
            return self._ask(made, entity_rows, time.time_ns() // 1000, from_json=from_json, follows=False)
        except (InvalidInputError, IndexDamaged):
            return None

    def _look(self) -> None:
        """See to it that the rows in the index are those of the tables, and keep up with them."""
        # First, so that other threads go on reading meanwhile.
        self._look_at = time.monotonic() + watch.LOOK_AFTER_S
        if not all(self._plans.watch.is_of(part.table, part.id) for part in self._made.parts):
            self._made = self._make()

    def _is_current(self, parts: Sequence[Part]) -> bool:
        """Tell whether the index still knows the tables as the plan does."""
        known = self._plans.materializer.index.get_many([(part.id, []) for part in parts])
        return all(one.head == part.head or part.follows(one.head) for part, one in zip(parts, known, strict=True))

    def _ask(
        self, made: _Made, entity_rows: Any, moment: int, *, from_json: bool, follows: bool = True
    ) -> OnlineAnswer | None:
        """Ask the index; None if it knows the tables otherwise than the plan does."""
        shape, parts, _ = made
        # The answer begins with the entity columns.
        count, values = shape.intake.columns(entity_rows)
        if from_json:
            shape.intake.from_json(values)
        wanted = [(part.id, part.keys(values, count)) for part in parts]
        answers = self._plans.materializer.index.get_many(wanted)
        found = []
        for part, (_, keys), known in zip(parts, wanted, answers, strict=True):
            if known.head != part.head and not (follows and part.follows(known.head)):
                return None
            found.append(part.answer(keys, known, moment, values))
        if len(parts) > 1:
            # The tables' features may have been asked for in turns.
            values = {name: values[name] for name in shape.columns}
        return OnlineAnswer(shape, values, found)

    def _make(self) -> _Made:
        """Find the tables and features, and see to it that the index holds their newest rows."""
        for _ in range(_ATTEMPTS):
            plans = self._plans
            wanted = resolve(
                plans.catalog, plans.registry, self.references, full_feature_names=self._full_feature_names
            )
            entity = _entity(wanted)
            parts = [part for one in wanted if (part := self._part(one)) is not None]
            if len(parts) == len(wanted):
                warn_of_deprecated(wanted)
                return _Made(_shape(wanted, parts, entity), tuple(parts), tuple(str(part.table.name) for part in parts))
        raise self._too_busy()

    def _part(self, one: Wanted) -> Part | None:
        """Prepare one table's part; None if the table was changed meanwhile."""
        if one.pinned:
            raise InvalidInputError(
                f"version {one.state.pin!r} of table {one.table.name} is asked for online",
                hint="the online index holds the newest version: write the reference without @ and what follows it",
            )
        self._plans.materializer.catch_up(one.table)
        state = one.table.log.require()
        head = self._plans.materializer.index.head(state.metadata.id)
        layout = layouts.after(head, state) if head else None
        if head is None or layout is None or state.metadata != one.state.metadata:
            return None
        return Part(one, layout, head)

    def _too_busy(self) -> CommitConflict:
        return CommitConflict(
            f"the tables of {', '.join(self.references)} changed {_ATTEMPTS} times while they were read",
            hint="try again when it is quieter",
        )


def _entity(wanted: Sequence[Wanted]) -> list[str]:
    """List the entity columns of all tables.

    Raises
    ------
    InvalidInputError
        A feature has the name of one.
    """
    entity = list(dict.fromkeys(name for one in wanted for name in one.state.spec.entity))
    for name in answer_names(wanted):
        if name in entity:
            raise InvalidInputError(
                f"{name!r} would be the name of a feature and of an entity column in the answer",
                hint="ask for full names (full_feature_names=True, --full-feature-names)",
                name=name,
            )
    return entity


def _shape(wanted: Sequence[Wanted], parts: Sequence[Part], entity: Sequence[str]) -> Shape:
    columns: dict[str, Column] = {}
    sources: dict[str, tuple[int, int]] = {}
    for number, (one, part) in enumerate(zip(wanted, parts, strict=True)):
        spec = one.state.spec
        names = [*zip(spec.entity, spec.entity, strict=True), *zip(one.names, one.features, strict=True)]
        for name, column in names:
            columns.setdefault(name, Column(spec.dtypes[column], spec.origins.get(column, "")))
        sources |= {name: (number, place) for name, place in part.places}
    order = [*entity, *answer_names(wanted)]
    return Shape(
        Intake({name: columns[name].dtype for name in entity}),
        {name: columns[name] for name in order},
        {name: sources[name] for name in order[len(entity) :]},
        tuple((one.names, part.places) for one, part in zip(wanted, parts, strict=True)),
        any(part.has_defaults for part in parts),
    )


def _micros(at: datetime) -> int:
    """Count a moment in microseconds since 1970-01-01 UTC; one without a zone is UTC."""
    # pandas' missing time is a datetime, and not equal to itself.
    if not isinstance(at, datetime) or at != at:  # noqa: PLR0124 - see above
        raise InvalidInputError(f"at is {at!r}", hint="give a datetime; one without a zone is UTC")
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
