"""The verbs of serving: materialize, push, prepare, get_online_features, verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiffin.agreement import Server, Verification, verify
from tiffin.derived.answering import OnDemandAnswer, OnDemandPlan
from tiffin.errors import TableNotFound
from tiffin.features import Features, warn_of_majors
from tiffin.materialize import Lag, Materialized, Progress
from tiffin.schema.names import TableName
from tiffin.schema.table import put_online
from tiffin.serving import OnlineAnswer, OnlinePlan, Plans
from tiffin.store.opened import note_of, unpinned
from tiffin.store.save import Saving
from tiffin.tables.actions import Once
from tiffin.tables.declaring import declare
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table


class Serving(Saving):
    """Methods of `FeatureStore` that keep the newest rows online and answer from them."""

    @property
    def plans(self) -> Plans:
        """The plans of plain calls, for a server that must know beforehand how long a call can take."""
        return self._plans

    def materialize(
        self, reference: str | None = None, *, from_scratch: bool = False, progress: Progress | None = None
    ) -> list[Materialized]:
        """Bring the online index up to the newest version of a table, at a cost that follows what has changed.

        Tables that are online catch up with every save by themselves; this is for those that lag behind (because the
        index could not be reached then, or another program wrote to the table), and to put a table online.

        Parameters
        ----------
        reference : str, optional
            `group/name`; if it is not online yet, it is declared so, which is a version of its own. Left out: all
            tables that are online; what the index still has of others is removed.
        from_scratch : bool
            Whether to fill in all rows anew, whatever the index has.
        progress : callable, optional
            `progress(table, done, total)` is called as rows are read.

        Returns
        -------
        list of Materialized
            One for each table.

        Raises
        ------
        TableNotFound
            There is no such table.
        InvalidInputError
            The table has neither an entity nor a timestamp, by which its newest rows could be told.
        OnlineUnavailable, StorageError
            The index or the disk refused; what was not caught up goes on with the next call.
        """
        if reference is not None:
            (table,) = self._named(reference)
            declare(table, put_online, "online", note_of())
            return [self._materializer.catch_up(table, progress, from_scratch=from_scratch)]
        self._materializer.sweep(self._catalog)
        return [self._materializer.catch_up(table, progress, from_scratch=from_scratch) for table, _ in self._online()]

    def push(
        self,
        reference: str,
        rows: Any,
        *,
        entity: str | Sequence[str] | None = None,
        timestamp: str | None = None,
        created: str | None = None,
        message: str = "",
        once: Once | None = None,
    ) -> Commit:
        """Append rows to a table and put them online, in one step.

        Parameters
        ----------
        reference : str
            `group/name`; made if there is none and `entity` or `timestamp` is given.
        rows : frame
            As `save` takes them. An event that is older than what the index has of its entity changes only the table.
        entity, timestamp, created : optional
            As for `save`; what is not given is as the table has it.
        message : str
            Why, for the history.
        once : Once, optional
            As for `save`.

        Returns
        -------
        Commit
            `online_version` says how far the index is; a warning why it lags, if it does.

        Raises
        ------
        TableNotFound
            There is no such table, and nothing says what its keys are.
        InvalidInputError, SchemaMismatch, StorageError
            As for `save`; nothing was changed.
        """
        name = unpinned(reference)
        is_new = name.group is not None and self._catalog.table(TableName(name.group, name.name)).log.latest() is None
        if not (is_new and (entity or timestamp)):
            reference = str(self._catalog.find(name).name)
        return self.save(
            reference,
            rows,
            entity=entity,
            timestamp=timestamp,
            created=created,
            online=True,
            mode="append",
            message=message,
            once=once,
        )

    def prepare(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan | OnDemandPlan:
        """Find out once what it takes to read some features online.

        Parameters
        ----------
        features : sequence of str, str or Service
            References, or a feature service or its name. The tables are online.
        full_feature_names : bool
            Call the features `group__name__feature`, or `name__feature` where the reference leaves the group out.

        Returns
        -------
        OnlinePlan, or OnDemandPlan if some are computed on demand
            `plan.read(entity_rows)` reads, and follows the tables as they change.

        Raises
        ------
        TableNotFound, FeatureNotFound, Ambiguous
            What is asked for is not there.
        NotOnline
            A table is not online.
        InvalidInputError
            A reference pins a version, or names collide.
        OnlineUnavailable, StorageError
            The index cannot be reached, or not be brought up to the tables.
        """
        demand = self._on_demands.demand(self._catalog, self._registry, features, full_feature_names=full_feature_names)
        if demand is None:
            return self._plans.prepare(features, full_feature_names=full_feature_names)
        warn_of_majors(self._catalog, self._registry, features)
        return OnDemandPlan(demand, self._plans.prepare(demand.stored, full_feature_names=full_feature_names))

    def get_online_features(
        self, features: Features, entity_rows: Any, *, full_feature_names: bool = False
    ) -> OnlineAnswer | OnDemandAnswer:
        """Read the features of some entities as they are now, from the online index.

        What is found out about the features is kept for the next call; with `prepare`, even looking that up is saved.

        Parameters
        ----------
        features : sequence of str, str or Service
            References, or a feature service or its name. The tables are online.
        entity_rows : sequence of dicts, dict of sequences, or frame
            The entities: `[{"user_id": 7}, {"user_id": 8}]`, or `{"user_id": [7, 8]}`; with the other columns that
            on-demand features take, if some are asked for.
        full_feature_names : bool
            Call the features `group__name__feature`, or `name__feature` where the reference leaves the group out.

        Returns
        -------
        OnlineAnswer
            `.to_dict()`, `.to_df()`, `.to_polars()`, `.rows()`, `.statuses`, `.timestamps`. The values are those that
            `get_historical_features` gives for this moment.

        Raises
        ------
        TableNotFound, FeatureNotFound, Ambiguous, NotOnline
            What is asked for is not there.
        InvalidInputError
            The entities lack a column or hold something else than keys; names row and column.
        OnlineUnavailable, StorageError
            The index cannot be read.
        """
        plan = self._plans.known(features, full_feature_names=full_feature_names)
        if plan is not None:
            try:
                return plan.read(entity_rows)
            except TableNotFound:
                # On-demand features may have its name by now: they are looked for below.
                pass
        return self.recall(features, full_feature_names=full_feature_names).read(entity_rows)

    def recall(self, features: Features, *, full_feature_names: bool = False) -> OnlinePlan | OnDemandPlan:
        """Return what `prepare` does, of which what was found out before is found out no more."""
        demand = self._on_demands.demand(self._catalog, self._registry, features, full_feature_names=full_feature_names)
        if demand is None:
            return self._plans.recall(features, full_feature_names=full_feature_names)
        return OnDemandPlan(demand, self._plans.recall(demand.stored, full_feature_names=full_feature_names))

    def online_lag(self) -> list[Lag]:
        """Tell how far the online index is behind each table that is online; cheap enough to be asked all the time.

        Returns
        -------
        list of Lag
            `.version` of the table, `.online_version` of the index, and how many `.versions` lie between them.

        Raises
        ------
        OnlineUnavailable, StorageError
            The index, or a table, cannot be read.
        """
        return [self._materializer.lag(state) for _, state in self._online()]

    def verify(
        self, features: Features | None = None, *, sample: int = 1000, seed: int = 0, server: Server | None = None
    ) -> Verification:
        """Prove on samples that the online index answers what the tables say.

        Entities are taken from the newest version of each table and from the index. For each, all values and statuses
        of both sides are compared as of one moment, with ttl, nulls and defaults; and the number of entities.

        Parameters
        ----------
        features : sequence of str, str or Service, optional
            `group/name`, references, or a feature service; all tables that are online if left out.
        sample : int
            Entities of each table, and of its online rows, that are compared; at most 50,000.
        seed : int
            Which ones.
        server : client, optional
            What a server of this store answers is compared as well: `tiffin.connect(url)`.

        Returns
        -------
        Verification
            `.ok` tells whether all agree; prints as text, with what differs and what to do.

        Raises
        ------
        TableNotFound, FeatureNotFound, NotOnline
            What is asked for is not there, or not online.
        InvalidInputError
            The sample is out of bounds, or a reference pins a version.
        """
        if features is None:
            features = [str(table.name) for table, _ in self._online()]
        if not features:
            return Verification(tables=())
        return verify(self._plans, features, sample=sample, seed=seed, server=server)

    def _online(self) -> list[tuple[Table, State]]:
        """List the tables that are online, at their newest versions; those that are being dropped are none."""
        found = ((table, table.log.latest()) for table in self._named(None))
        return [(table, state) for table, state in found if state is not None and state.spec.online]
