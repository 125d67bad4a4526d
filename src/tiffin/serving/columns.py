"""The forms that an answer to an online read can be given in, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import polars as pl

from tiffin.frames import FeatureFrame

_TIMES, _STATUSES = "__ts", "__status"


class AnswerColumns(ABC):
    """An answer as columns, of which those who know where it comes from say what is in them."""

    __slots__ = ("_values",)

    _values: dict[str, list[Any]]
    """The entity columns, then the features."""

    @property
    @abstractmethod
    def statuses(self) -> Mapping[str, list[Any]]:
        """What stands behind each value, by feature."""

    @abstractmethod
    def _seconds(self) -> Mapping[str, list[int | None]]:
        """Return the time of each entity's row, by feature, whole seconds since 1970-01-01 UTC."""

    @property
    @abstractmethod
    def _origins(self) -> Mapping[str, str]:
        """Column to the pandas or Arrow type that it was saved with."""

    @abstractmethod
    def to_polars(self) -> pl.DataFrame:
        """Give the answer as a Polars frame."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the entities."""

    def to_dict(
        self, include_event_timestamps: bool = False, *, include_statuses: bool = False
    ) -> dict[str, list[Any]]:
        """Give the answer as columns, the entity columns first.

        Parameters
        ----------
        include_event_timestamps : bool
            Whether to add `<feature>__ts`: the time of the entity's row, in whole seconds since 1970-01-01 UTC.
            (`timestamps` has it exactly.)
        include_statuses : bool
            Whether to add `<feature>__status`.

        Returns
        -------
        dict of str to list
            A value for each entity.
        """
        columns = self._values.copy()
        if include_event_timestamps:
            columns |= {name + _TIMES: times for name, times in self._seconds().items()}
        if include_statuses:
            columns |= {name + _STATUSES: values for name, values in self.statuses.items()}
        return columns

    def rows(self) -> list[dict[str, Any]]:
        """Give the answer as one dict for each entity."""
        return [dict(zip(self._values, row, strict=True)) for row in zip(*self._values.values(), strict=True)]

    def to_pandas(self) -> Any:
        """Give the answer as a pandas frame, in the pandas types that the tables were saved with.

        Returns
        -------
        pandas.DataFrame, shape (number of entities, number of entity columns + features)

        Raises
        ------
        MissingDependency
            pandas is not installed.
        """
        return FeatureFrame(self.to_polars(), origins=self._origins).to_pandas()

    def to_df(self) -> Any:
        """Give the answer as a pandas frame: Feast's name for `to_pandas`."""
        return self.to_pandas()

    def __repr__(self) -> str:
        return f"OnlineAnswer of {len(self)} entities\n{self.to_polars()!r}"
