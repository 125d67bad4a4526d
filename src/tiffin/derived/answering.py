"""Online answers with features that are computed on demand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from tiffin.derived.demand import Demand
from tiffin.errors import InvalidInputError
from tiffin.frames import ingest
from tiffin.frames.texts import from_json as frame_from_json
from tiffin.serving import OnlineAnswer, OnlinePlan, Status
from tiffin.serving.answer import Column
from tiffin.serving.columns import AnswerColumns

_WHAT = "the entity rows"


class OnDemandAnswer(AnswerColumns):
    """Features of entities as of a moment, stored and computed; as `OnlineAnswer`, in the order they were asked for.

    A computed value is PRESENT or NULL_VALUE, and has no time of its own.
    """

    __slots__ = ("_demand", "_frame", "_names", "_stored")

    def __init__(self, stored: OnlineAnswer, frame: pl.DataFrame, demand: Demand) -> None:
        self._stored = stored
        self._frame = frame
        self._demand = demand
        self._names = demand.names
        self._values = frame.to_dict(as_series=False)

    def to_polars(self) -> pl.DataFrame:
        """Give the answer as a Polars frame, in the tables' dtypes and those that were declared."""
        return self._frame

    @property
    def versions(self) -> dict[str, int]:
        """The version of each table, `group/name`, that answered."""
        return self._stored.versions

    @property
    def columns(self) -> dict[str, Column]:
        """What the values of each column are, the entity columns first."""
        origins = self._origins
        return {name: Column(dtype, origins.get(name, "")) for name, dtype in self._frame.schema.items()}

    @property
    def tables(self) -> dict[str, str]:
        """The table of each feature, or what the on-demand features are called that it is one of: `group/name`."""
        stored, demand = self._stored.tables, self._demand
        computed = {name: demand.steps[step].features.declared.name for name, (step, _) in demand.computed.items()}
        return {name: computed[name] if name in computed else stored[name] for name in self._names}

    @property
    def statuses(self) -> Mapping[str, list[Status]]:
        """What stands behind each value, by feature."""
        known = self._stored.statuses
        return {name: known[name] if name in known else _statuses(self._frame[name]) for name in self._names}

    @property
    def timestamps(self) -> Mapping[str, list[datetime | None]]:
        """The time of each entity's row, by feature, UTC; None where there is none."""
        known, nothing = self._stored.timestamps, [None] * len(self)
        return {name: known[name] if name in known else list(nothing) for name in self._names}

    def __len__(self) -> int:
        return self._frame.height

    def _seconds(self) -> Mapping[str, list[int | None]]:
        known, nothing = self._stored._seconds(), [None] * len(self)  # noqa: SLF001 - of one family
        return {name: known[name] if name in known else list(nothing) for name in self._names}

    @property
    def _origins(self) -> Mapping[str, str]:
        return {name: origin for name, origin in self._stored._origins.items() if name in self._values}  # noqa: SLF001 - of one family


def _statuses(values: pl.Series) -> list[Status]:
    return [Status.NULL_VALUE if is_null else Status.PRESENT for is_null in values.is_null()]


class OnDemandPlan:
    """Reads the same features again and again, of which some are computed on demand.

    Parameters
    ----------
    demand : Demand
        What it takes.
    plan : OnlinePlan
        Reads the stored features.
    """

    def __init__(self, demand: Demand, plan: OnlinePlan) -> None:
        self._demand = demand
        self._plan = plan

    @property
    def references(self) -> tuple[str, ...]:
        """The stored features that are read."""
        return self._plan.references

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are read, as `group/name`."""
        return self._plan.tables

    @property
    def computed(self) -> tuple[str, ...]:
        """The on-demand features that are computed, as `group/name`."""
        return tuple(step.features.declared.name for step in self._demand.steps)

    @property
    def entity(self) -> tuple[str, ...]:
        """The entity columns of the tables."""
        return self._plan.entity

    @property
    def request(self) -> tuple[str, ...]:
        """The columns that the entity rows must have beside these."""
        return self._demand.request

    def read(self, entity_rows: Any, *, at: datetime | None = None, from_json: bool = False) -> OnDemandAnswer:
        """Read and compute the features of some entities.

        Parameters
        ----------
        entity_rows : sequence of dicts, dict of sequences, or frame
            The entities, each with a value for each entity column and each column of the request.
        at, from_json : optional
            As for `OnlinePlan.read`.

        Returns
        -------
        OnDemandAnswer

        Raises
        ------
        InvalidInputError
            A column is missing, holds something else than was declared, or what is computed is not what was.
        """
        rows = self._of_json(entity_rows) if from_json else ingest(self._with_columns(entity_rows)).frame
        entities = rows.drop(set(self.request) - set(self.entity), strict=False)
        stored = self._plan.read(entities, at=at, from_json=from_json)
        request = pl.DataFrame([rows.get_column(name) for name in self.request if name in rows.columns])
        return OnDemandAnswer(stored, self._demand.complete(stored.to_polars(), _WHAT, request), self._demand)

    def _of_json(self, entity_rows: Any) -> pl.DataFrame:
        given = self._with_columns(entity_rows)
        if isinstance(given, Mapping):
            if len({len(values) for values in given.values()}) > 1:
                raise InvalidInputError(
                    "the columns of the entities are of different lengths", hint="give a value per entity"
                )
            rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
            if not rows:
                return ingest(given).frame
            given = rows
        # The keys are left to the plan.
        asked = {name: dtype for name, dtype in self._demand.request_dtypes.items() if name not in self.entity}
        return frame_from_json(given, asked)

    def _with_columns(self, entity_rows: Any) -> Any:
        """Name the columns of no entities, which say none."""
        is_nothing = isinstance(entity_rows, list | tuple) and not entity_rows
        return {name: [] for name in (*self.entity, *self.request)} if is_nothing else entity_rows
