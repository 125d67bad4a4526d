"""A training frame: the spine with the features of many tables as of each row's time, and its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiffin.errors import InvalidInputError
from tiffin.features import Wanted, answer_names
from tiffin.frames import FeatureFrame, Ingested, Lock, Recipe, Source
from tiffin.reading import Reader
from tiffin.training import joining, points
from tiffin.training.enriching import Progress, enrich, pairs
from tiffin.training.points import Period, as_known
from tiffin.training.sources import committed
from tiffin.training.spine import Spine, check_moment, given, in_utc
from tiffin.version import __version__


@dataclass(frozen=True)
class Request:
    """What a caller asks for, in the caller's words; see `FeatureStore.get_historical_features`."""

    references: tuple[str, ...]
    rows: Ingested | None
    """The caller's spine; None for one that is made from the tables."""
    now: datetime
    timestamp: str | None = None
    ttl: timedelta | None = None
    known_at: datetime | str | None = None
    start: datetime | None = None
    end: datetime | None = None
    full_feature_names: bool = False

    def check(self) -> None:
        """Check what can be checked without the tables.

        Raises
        ------
        InvalidInputError
            Naming the argument.
        """
        for name, moment in (("start", self.start), ("end", self.end)):
            check_moment(moment, name)
            if moment is not None and self.rows is not None:
                raise InvalidInputError(
                    f"{name} is given, and a spine", hint="a spine brings its own times: leave one out"
                )
        if self.start is not None and self.end is not None and in_utc(self.start) > in_utc(self.end):
            raise InvalidInputError(f"start {self.start} is after end {self.end}", hint="exchange them")
        if self.timestamp is not None and not (isinstance(self.timestamp, str) and self.timestamp):
            raise InvalidInputError(f"timestamp is {self.timestamp!r}", hint="name the spine's column of times")
        check_ttl(self.ttl)
        if not isinstance(self.known_at, str):
            check_moment(self.known_at, "known_at", "give a datetime, or the name of a column of the spine")
        elif self.rows is None:
            raise InvalidInputError("known_at names a column, and there is no spine", hint="give a datetime")

    def spine(self, wanted: Sequence[Wanted]) -> Spine:
        """Take the caller's spine, or make one of what the tables hold."""
        known_at = in_utc(self.known_at) if isinstance(self.known_at, datetime) else self.known_at
        if self.rows is not None:
            return given(self.rows, wanted, self.timestamp, known_at)
        start, end = (None if moment is None else in_utc(moment) for moment in (self.start, self.end))
        assert not isinstance(known_at, str)  # `check` has seen to it
        return points.spine(wanted, Period(start, end), self.now, timestamp=self.timestamp, known_at=known_at)


def check_ttl(ttl: object) -> None:
    """Check that a ttl, if there is one, is a time longer than zero.

    Raises
    ------
    InvalidInputError
        It is not.
    """
    if ttl is not None and not (isinstance(ttl, timedelta) and ttl > timedelta(0)):
        raise InvalidInputError(f"ttl is {ttl!r}", hint="a ttl is a time longer than zero: timedelta(days=30)")


def check_wanted(wanted: Sequence[Wanted], known_at: object) -> None:
    """Check that the tables can be joined to rows of a spine.

    Raises
    ------
    InvalidInputError
        A table has neither entity nor timestamp, or is pinned where its commits have to say what was known.
    """
    for one in wanted:
        spec = one.state.spec
        joining.check_joinable(one.table, spec)
        if known_at is not None and one.pinned and not spec.created:
            raise InvalidInputError(
                f"{one.table.name}@{one.state.pin} is pinned, and known_at chooses the version too",
                hint="leave out one of them, or declare which column says when a row was made (created='…', --created)",
            )


def make(request: Request, wanted: Sequence[Wanted], reader: Reader, progress: Progress | None = None) -> FeatureFrame:
    """Make a training frame.

    Parameters
    ----------
    request : Request
        What is asked for.
    wanted : sequence of Wanted
        The same, found in the store.
    reader : Reader
        What tables are read through.
    progress : callable, optional
        Is told of the progress.

    Returns
    -------
    FeatureFrame, shape (rows of the spine, columns of the spine + features)
        The spine's columns as they are, then the features in the order they were asked for.
    """
    check_wanted(wanted, request.known_at)
    spine = request.spine(wanted)
    frame = enrich(spine, wanted, request.ttl, reader, progress)
    origins = dict(spine.origins)
    for one in wanted:
        saved = one.state.spec.origins
        origins |= {name: saved[feature] for feature, name in pairs(one) if feature in saved}
    recipe = _recipe(request, wanted, spine)
    lock = Lock({str(one.table.name): one.state.version for one in wanted}, recipe, frame)
    return FeatureFrame(frame, origins=origins, lock=lock)


def _recipe(request: Request, wanted: Sequence[Wanted], spine: Spine) -> Recipe:
    held = {name: f"{one.table.name}@{one.state.pin}:{feature}" for one in wanted for feature, name in pairs(one)}
    return Recipe(
        features={name: held[name] for name in answer_names(wanted)},
        sources={str(one.table.name): _source(one, spine) for one in wanted},
        spine=tuple(spine.frame.columns),
        timestamp=spine.timestamp,
        references=request.references,
        full_feature_names=request.full_feature_names,
        ttl=request.ttl,
        known_at=spine.known_at if isinstance(spine.known_at, datetime) else None,
        known_at_column=spine.known_at if isinstance(spine.known_at, str) else None,
        made=request.now,
        tiffin=__version__,
    )


def _source(one: Wanted, spine: Spine) -> Source:
    state = as_known(one.table, one.state, spine.first_known_us)
    return Source(
        id=one.state.metadata.id,
        version=one.state.version,
        committed=committed(one.state),
        oldest=one.table.log.oldest() if state is None else state.version,
        stage=one.state.stage.name if one.state.stage else "",
    )
