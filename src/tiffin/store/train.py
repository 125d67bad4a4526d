"""The verbs of training: get_historical_features, training sets, explain."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from tiffin import config, frames
from tiffin.doctor import Finding
from tiffin.errors import CorruptData, InvalidInputError, TableNotFound, VersionNotFound
from tiffin.features import Features, Wanted, references, resolve, warn_of_deprecated, warn_of_majors
from tiffin.frames import FeatureFrame
from tiffin.store.opened import Opened
from tiffin.training.enriching import Progress
from tiffin.training.explanation import Explanation, explain, inquire
from tiffin.training.frame import Request, make
from tiffin.training.reproduction import reproduce
from tiffin.training.sets import TrainingSet

_ATTEMPTS = 5


class Training(Opened):
    """Methods of `FeatureStore` that make training frames, keep them and account for their values."""

    def get_historical_features(
        self,
        spine: Any,
        features: Features,
        *,
        timestamp: str | None = None,
        ttl: timedelta | None = None,
        known_at: datetime | str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        full_feature_names: bool = False,
        progress: Progress | None = None,
    ) -> FeatureFrame:
        """Give each row of a spine the features of its entities as of its time.

        For each row and table: the row of that entity with the greatest timestamp that is not after the spine's time,
        nor older than the ttl; of several with that timestamp the one made last. A table without a timestamp gives
        the row of the entity, one without an entity its row as of the time. Where there is none the features are
        null, or what they declare as a default. Times are compared exactly; without a zone they are UTC, and a date
        is its midnight. All tables are read at one version each: the newest, unless a reference pins another.

        Parameters
        ----------
        spine : frame or None
            The rows: entity columns, a column of times if a table has a timestamp, and any others. Frames of any
            library. None: see `start`.
        features : sequence of str, str or Service
            References, or a feature service or its name. What on-demand features take besides stored ones are
            columns of the spine.
        timestamp : str, optional
            The spine's column of times; if left out, the one called `event_timestamp` or as in a table, else the only
            one.
        ttl : timedelta, optional
            How long a row stays true; each table's own if left out.
        known_at : datetime or str, optional
            A moment, or the spine's column with one for each row: rows made after it do not count. A table that
            declares no `created` column is taken as its commits left it then.
        start, end : datetime, optional
            Without a spine: a row for each entity and time at which one of the tables has a row from `start` to
            `end`, both included, as of that time. Without either: a row for each entity, as of now (or `known_at`).
        full_feature_names : bool
            Call the features `group__name__feature`, or `name__feature` where the reference leaves the group out.
        progress : callable, optional
            `progress(done, total)` is called from 0 to the total.

        Returns
        -------
        FeatureFrame, shape (rows of the spine, columns of the spine + features)
            The spine's rows in their order, with its columns as they are; then the features in the order asked for.
            Its `lock` says what it was made from.

        Raises
        ------
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What is asked for is not there.
        InvalidInputError
            The spine lacks a column, it is not clear which is meant, or names collide.
        SchemaMismatch
            Keys or times are of types that cannot be compared with the tables'.
        CorruptData
            What is stored is not what was written.
        """
        warn_of_majors(self._catalog, self._registry, features)
        demand = self._on_demands.demand(self._catalog, self._registry, features, full_feature_names=full_feature_names)
        if demand is not None:
            frame = self.get_historical_features(
                spine,
                demand.stored,
                timestamp=timestamp,
                ttl=ttl,
                known_at=known_at,
                start=start,
                end=end,
                full_feature_names=full_feature_names,
                progress=progress,
            )
            return demand.training_frame(frame)
        request = Request(
            references=references(self._catalog, self._registry, features),
            rows=None if spine is None else frames.ingest(spine),
            now=datetime.now(UTC),
            timestamp=timestamp,
            ttl=ttl,
            known_at=known_at,
            start=start,
            end=end,
            full_feature_names=full_feature_names,
        )
        request.check()

        def find() -> list[Wanted]:
            return resolve(
                self._catalog, self._registry, request.references, full_feature_names=request.full_feature_names
            )

        for attempt in range(_ATTEMPTS):
            wanted = find()
            if not attempt:
                warn_of_deprecated(wanted)
            try:
                return make(request, wanted, self._reader, progress)
            except (VersionNotFound, TableNotFound, CorruptData):
                # A table may have been dropped, or its newest version replaced and vacuumed, since it was looked up.
                if _versions(find()) == _versions(wanted):
                    raise
        raise VersionNotFound(
            f"tables were replaced and vacuumed {_ATTEMPTS} times while they were read",
            hint="keep more versions: set keep_versions higher",
        )

    def save_training_set(
        self, name: str, frame: FeatureFrame, *, description: str = "", replace: bool = False
    ) -> TrainingSet:
        """Keep what it takes to make a training frame again: its lock and its spine.

        The versions that it was made from are kept from vacuums until the training set is dropped.

        Parameters
        ----------
        name : str
            Letters, digits, `_` and `-`.
        frame : FeatureFrame
            As `get_historical_features` returned it.
        description : str
            What it is for, for people.
        replace : bool
            Whether it takes the place of one of the same name.

        Returns
        -------
        TrainingSet

        Raises
        ------
        ConflictError
            The name is taken.
        InvalidInputError
            The frame is not one that `get_historical_features` returned.
        NotReproducible
            A version that it was made from is gone already.
        """
        return self._sets.save(
            name, frame, self._catalog, description=description, author=config.author(os.environ), replace=replace
        )

    def training_sets(self) -> list[TrainingSet]:
        """List the training sets that were saved, by name; `examine_training_sets` tells of those that are damaged."""
        return self._sets.all()

    def training_set(self, name: str) -> TrainingSet:
        """Return a training set: what it was made from, and how.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        CorruptData
            It is damaged.
        """
        return self._sets.find(name)

    def examine_training_sets(self) -> list[Finding]:
        """Check that the lock of every training set can be read; `examine` reads their spines too.

        Returns
        -------
        list of Finding
            Empty if all is well.
        """
        return list(self._sets.examine(spines=False))

    def reproduce(self, name: str) -> FeatureFrame:
        """Make a saved training frame again, bit for bit.

        Parameters
        ----------
        name : str
            The training set.

        Returns
        -------
        FeatureFrame
            Equal to the one that was saved, in every value, dtype and in the order of its rows and columns.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        NotReproducible
            It cannot be made again; says what has changed.
        """
        return reproduce(self._sets, name, self._catalog, self._reader, self._on_demands.again)

    def drop_training_set(self, name: str) -> None:
        """Forget a training set; the tables stay, but its versions may be vacuumed from now on.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        """
        self._sets.drop(name)

    def explain(
        self,
        reference: str,
        entity: Any = None,
        at: datetime | None = None,
        *,
        ttl: timedelta | None = None,
        known_at: datetime | None = None,
    ) -> Explanation:
        """Tell which row of which commit gives a value, and why not another.

        Parameters
        ----------
        reference : str
            `group/name:feature`, or `group/name` for all its features.
        entity : object
            Whose: a value, a tuple of the entity columns' values, or a dict; nothing for a table without an entity.
        at : datetime, optional
            As of when; now if left out. Without a zone, UTC.
        ttl, known_at : optional
            As for `get_historical_features`.

        Returns
        -------
        Explanation
            The answer, as `get_historical_features` gives it, the row it comes from, and the nearest rows that it does
            not come from; prints as text.

        Raises
        ------
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What is asked for is not there.
        InvalidInputError
            The entity is no key of the table, or an argument makes no sense.
        """
        if not isinstance(reference, str):
            raise InvalidInputError(f"reference is {reference!r}", hint="write 'group/name:feature'")
        (wanted,) = resolve(self._catalog, self._registry, [reference])
        moment = datetime.now(UTC) if at is None else at
        return explain(inquire(wanted, entity, moment, ttl=ttl, known_at=known_at))


def _versions(wanted: list[Wanted]) -> list[tuple[str, int, int]]:
    return [one.state.mark for one in wanted]
