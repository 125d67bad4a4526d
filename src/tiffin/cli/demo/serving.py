"""The last part of the demo: features served, a rating that arrives, and the online index compared with the tables."""

import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from tiffin.agreement import TableVerification
from tiffin.cli.demo import so_far
from tiffin.cli.demo.so_far import FEATURES, GENRES, MOVIES, USERS
from tiffin.cli.run import Run
from tiffin.errors import CorruptData
from tiffin.materialize import Materialized

SERVICE = "rating_model"
SIZES = {1: 2000, 100: 200}
"""Entities in one read, and how many reads are timed."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long reads of so many entities took."""

    entities: int
    reads: int
    p50_s: float
    p99_s: float


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What the online index said of a user before and after one more rating."""

    user_id: Any
    movie_id: Any
    rating: float
    count_before: int
    count_after: int
    mean_before: float
    mean_after: float
    push_s: float
    """Until the new rows of user and movie were safe from a power loss and online."""
    seen_s: float
    """The read after it."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What serving the features took."""

    service: str
    features: int
    materialized: list[Materialized]
    latencies: list[Latency]
    arrival: Arrival
    verified: list[TableVerification]
    """How the online rows of each table compare with the table."""
    verify_s: float


def serve(run: Run, ratings: pl.DataFrame, seed: int) -> Serving:
    """Put the features of the model online, read them, add a rating, and compare with what the tables say.

    Parameters
    ----------
    run : Run
        Where the store is; shows the progress.
    ratings : DataFrame
        As `check_ratings` returns them.
    seed : int
        Chooses the entities that are read.

    Raises
    ------
    CorruptData
        The index does not say what the tables say.
    """
    service = run.store.create_service(
        SERVICE, list(FEATURES), description="What the model of ratings asks for.", replace=True
    )
    with run.advancing("filling the online index with") as advance:
        filled = [
            made
            for table in (USERS, MOVIES, GENRES)
            for made in run.store.materialize(table, progress=lambda name, done, total: advance(done, total, of=name))
        ]
    with run.busy("reading online"):
        latencies = _latencies(run, ratings, seed)
    with run.busy("pushing a rating"):
        arrival = _arrival(run, ratings)
    start = time.perf_counter()
    with run.busy("comparing online with offline"):
        compared = run.store.verify(seed=seed)
    verify_s = time.perf_counter() - start
    if not compared.ok:
        raise CorruptData(f"online and offline differ: {compared}", hint="report this")
    return Serving(
        service=service.name,
        features=len(service.features),
        materialized=filled,
        latencies=latencies,
        arrival=arrival,
        verified=list(compared.tables),
        verify_s=verify_s,
    )


def _latencies(run: Run, ratings: pl.DataFrame, seed: int) -> list[Latency]:
    pairs = ratings.select("user_id", "movie_id").to_dicts()
    generator = random.Random(seed)  # noqa: S311 - nothing is kept secret
    plan = run.store.prepare(SERVICE)
    found = []
    for entities, reads in SIZES.items():
        asked = [generator.choices(pairs, k=entities) for _ in range(reads)]
        times_s = sorted(_timed(plan, rows) for rows in asked)
        p99_s = statistics.quantiles(times_s, n=100)[98]
        found.append(Latency(entities=entities, reads=reads, p50_s=statistics.median(times_s), p99_s=p99_s))
    return found


def _timed(plan: Any, rows: Sequence[dict[str, Any]]) -> float:
    start = time.perf_counter()
    plan.read(rows).to_dict()
    return time.perf_counter() - start


def _arrival(run: Run, ratings: pl.DataFrame) -> Arrival:
    """Let the user who rated last rate once more, a second later."""
    is_past = pl.col("event_timestamp").dt.convert_time_zone("UTC") < datetime.now(UTC) - timedelta(seconds=1)
    past = ratings.filter(is_past)
    last = past.tail(1)
    user, movie = last.select("user_id", "movie_id").row(0)
    later = pl.col("event_timestamp") + pl.duration(seconds=1)
    given = last.with_columns(later, pl.lit(5.0).cast(last.schema["rating"]).alias("rating"))
    rows = {
        USERS: so_far.users(pl.concat([past.filter(pl.col("user_id") == user), given])).tail(1),
        MOVIES: so_far.movies(pl.concat([past.filter(pl.col("movie_id") == movie), given])).tail(1),
    }
    plan = run.store.prepare([reference for reference in FEATURES if reference.startswith(USERS)])
    before = plan.read([{"user_id": user}]).to_dict()
    start = time.perf_counter()
    for table, row in rows.items():
        run.store.push(table, row, message="one more rating")
    pushed = time.perf_counter()
    after = plan.read([{"user_id": user}]).to_dict()
    seen = time.perf_counter()
    if any(after[name] != [rows[USERS][name][0]] for name in after if name != "user_id"):
        raise CorruptData("a row that was pushed is not what the online index says", hint="report this")
    return Arrival(
        user_id=user,
        movie_id=movie,
        rating=5.0,
        count_before=before["user_count"][0],
        count_after=after["user_count"][0],
        mean_before=before["user_mean"][0],
        mean_after=after["user_mean"][0],
        push_s=pushed - start,
        seen_s=seen - pushed,
    )
