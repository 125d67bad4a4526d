"""The verbs of on-demand features: register, registered, unregister, prove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from tiffin.derived.on_demand import OnDemand, OnDemandFeatures
from tiffin.derived.proof import Proof, alone_and_together, compare
from tiffin.errors import ConflictError, FeatureNotFound, InvalidInputError
from tiffin.features import resolve
from tiffin.frames import ingest
from tiffin.schema.names import TableName
from tiffin.store.serve import Serving
from tiffin.store.train import Training

_MOST_PROVED = 10_000
_MOMENT = pl.Datetime("us", "UTC")


class Computing(Serving, Training):
    """Methods of `FeatureStore` about features that are computed when they are asked for."""

    def register(self, features: OnDemand, *, replace: bool = False) -> OnDemandFeatures:
        """Make on-demand features known, so that they can be asked for like those of a table.

        What they are computed from and what comes out is kept in the store, and the SQL that they are, if they are;
        the code of a function is not: each process that computes them registers the function again, and is told if
        its code is another.

        Parameters
        ----------
        features : OnDemand
            What `tiffin.on_demand` made.
        replace : bool
            Whether they take the place of others of that name.

        Returns
        -------
        OnDemandFeatures

        Raises
        ------
        TableNotFound, FeatureNotFound
            An input is not there.
        InvalidInputError
            They cannot be computed from such inputs, or give something else than was declared.
        ConflictError
            There is a table of this name, or there are other on-demand features.
        """
        if not isinstance(features, OnDemand):
            raise InvalidInputError(f"{features!r} are no on-demand features", hint="make them with tiffin.on_demand")
        name = features.declared.name
        if self._catalog.table(TableName(*name.split("/"))).log.latest() is not None:
            raise ConflictError(f"there is a table {name}", hint="call the on-demand features otherwise")
        features.try_on(self._input_dtypes(features.declared))
        declared = msgspec.structs.replace(features.declared, registered=datetime.now(UTC))
        return self._on_demands.register(features, declared, replace=replace)

    def registered(self) -> list[OnDemandFeatures]:
        """List the on-demand features by name, without those whose files are damaged."""
        return self._on_demands.kept.all()

    def unregister(self, name: str) -> None:
        """Forget on-demand features; what they are computed from stays.

        Parameters
        ----------
        name : str
            `group/name`.

        Raises
        ------
        FeatureNotFound
            There are none of this name.
        """
        self._on_demands.drop(name)

    def prove(self, name: str, rows: Any) -> Proof:
        """Prove on samples that on-demand features come out the same offline and online, and of each row by itself.

        Computed as of this moment, they are compared in a training frame and in an online answer; computed for all
        rows at once, for each alone, in reverse order, and with each column null in turn. A function that looks at
        other rows, at a clock or at chance is found out.

        Parameters
        ----------
        name : str
            `group/name`. The tables of the inputs are online.
        rows : frame
            Entity columns and the request's columns; at most 10,000 rows.

        Returns
        -------
        Proof
            `.ok` tells whether all agree; prints as text.

        Raises
        ------
        FeatureNotFound, NotOnline
            They are not there, or an input is not online.
        InvalidInputError
            The rows lack a column, or the features cannot be computed.
        """
        features = self._on_demands.find(name)
        if features is None:
            raise FeatureNotFound(f"there are no on-demand features {name}")
        frame = ingest(rows).frame
        if frame.height > _MOST_PROVED:
            raise InvalidInputError(f"{frame.height:,} rows to prove it on", hint=f"give at most {_MOST_PROVED:,}")
        moment = datetime.now(UTC)
        asked = [*features.declared.inputs, name]
        spine = frame.with_columns(pl.lit(moment, _MOMENT).alias("event_timestamp"))
        offline = self.get_historical_features(
            spine, asked, timestamp="event_timestamp", full_feature_names=True
        ).to_polars()
        online = self.prepare(asked, full_feature_names=True).read(frame, at=moment).to_polars()
        names = [column for column in offline.columns if column not in spine.columns]
        differ = list(compare("online", frame, offline.select(names), online.select(names)))
        stored = [f"{text.replace('/', '__').replace(':', '__')}" for text in features.declared.inputs]
        given = offline.select(
            pl.col(column).alias(wanted) for column, wanted in zip(stored, features.declared.columns, strict=True)
        ).with_columns(features.request(frame, "the rows"))
        differ += alone_and_together(features, given)
        return Proof(name=name, rows=frame.height, disagreements=tuple(differ))

    def _input_dtypes(self, declared: OnDemandFeatures) -> dict[str, pl.DataType]:
        found = {}
        for name, text in declared.columns.items():
            (one,) = resolve(self._catalog, self._registry, [text])
            found[name] = one.state.spec.dtypes[one.features[0]]
        return found
