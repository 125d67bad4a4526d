"""Figures for Prometheus: of the requests, from the guard; of the store, when they are asked for.

With several workers each keeps its figures in files that the others can read, so that any of them answers for all
(`prometheus_client` does so when `PROMETHEUS_MULTIPROC_DIR` is set before it is imported; `run` does that).

Requests are counted in plain numbers, which are told to Prometheus' own once a second and when they are asked for: it
takes longer to count in those than to look up a row.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tiffin.errors import StorageError
from tiffin.files import LOCAL, make_folders
from tiffin.server.status import NotReady

if TYPE_CHECKING:
    from tiffin.store import FeatureStore

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEDIA = CONTENT_TYPE_LATEST

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_MOST_TABLES = 1000
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one server process.

    Parameters
    ----------
    store : FeatureStore, optional
        Whose caches and tables are told of too.
    """

    def __init__(self, store: FeatureStore | None = None) -> None:
        self.in_flight = 0
        """Requests under way in this process; the guard counts them."""
        named = os.environ.get(FOLDER_VARIABLE)
        self._folder = Path(named) if named else None
        self._store = store
        self._home = LOCAL.stat(store.path) if store else None
        self._has_place()
        self._registry = CollectorRegistry()
        self._requests = _Durations(
            "tiffin_request_seconds",
            "Requests by route, and how long each took from its head to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._writes = _Durations(
            "tiffin_write_seconds",
            "Requests that changed the store, each until it was committed and answered.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "tiffin_requests_in_flight",
            "Requests under way.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._rows = Counter("tiffin_rows_served", "Rows and entities answered.", ("route",), registry=self._registry)
        self._hits = Gauge(
            "tiffin_cache_hits",
            "Reads that the memory caches answered, of the processes that are alive.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._misses = Gauge(
            "tiffin_cache_misses",
            "Reads that the memory caches could not answer, of the processes that are alive.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._counted: dict[tuple[str, str, int], _Tally] = {}
        self._writes_counted: dict[str, _Tally] = {}
        self._rows_counted: defaultdict[str, int] = defaultdict(int)
        self._rows_told: defaultdict[str, int] = defaultdict(int)
        self._telling = Lock()
        self.refresh()

    def observe(self, method: str, route: str, status: int, seconds: float, rows: int = 0) -> None:
        """Count a request.

        Parameters
        ----------
        method : str
            Its method; any but the usual ones counts as "other".
        route : str
            The template of its route (`/tables/{group}/{name}`), of which there are only so many.
        status : int
            Of the answer.
        seconds : float
            How long it took.
        rows : int
            Rows, or entities, that were answered.
        """
        tally = self._counted.get((method, route, status))
        if tally is None:
            known = method if method in _METHODS else "other"
            tally = self._counted.setdefault((known, route, status), _Tally())
        tally.add(seconds)
        if rows:
            self._rows_counted[route] += rows

    def observe_write(self, route: str, seconds: float) -> None:
        """Count a request that changed the store."""
        self._writes_counted.setdefault(route, _Tally()).add(seconds)

    def refresh(self) -> None:
        """Let others see what was counted; the guard calls this every second while it is busy."""
        # The guard counts on, in another thread: only what is read here, and only once, is told.
        with self._telling:
            if not self._has_place():
                return
            for (method, route, status), tally in list(self._counted.items()):
                tally.tell(self._requests.labels(method, route, str(status)))
            for route, tally in list(self._writes_counted.items()):
                tally.tell(self._writes.labels(route))
            for route, rows in list(self._rows_counted.items()):
                self._rows.labels(route).inc(rows - self._rows_told[route])
                self._rows_told[route] = rows
        self._in_flight.set(self.in_flight)
        if self._store is not None:
            stats = self._store.cache_stats()
            self._hits.set(stats["hits"] if stats else 0)
            self._misses.set(stats["misses"] if stats else 0)

    def exposition(self) -> bytes:
        """Write all figures, of all workers, as Prometheus reads them (media type `MEDIA`).

        Raises
        ------
        NotReady
            The store is away, and with it the folder of the workers' figures.
        """
        self.refresh()
        registry = self._registry
        if self._folder:
            if not self._has_place():
                raise NotReady(
                    f"the folder of the workers' figures is away: {self._folder}",
                    hint="look whether the store's disk is there",
                )
            registry = CollectorRegistry()
            _forget_dead(self._folder)
            multiprocess.MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        lag = CollectorRegistry()
        if self._store is not None:
            lag.register(_Lag(self._store))
        return generate_latest(registry) + generate_latest(lag)

    def _has_place(self) -> bool:
        """Tell whether the workers' folder is there; if somebody deleted the caches, where it is, it is made again."""
        if self._folder is None or LOCAL.stat(self._folder) is not None:
            return True
        home = LOCAL.stat(self._store.path) if self._store else None
        if home is None or self._home is None or (home.device, home.inode) != (self._home.device, self._home.inode):
            # The store is away: a folder made now would lie where it is to come back.
            return False
        make_folders(LOCAL, self._folder)
        return True


class _Durations(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: list[int], seconds: float) -> None:
        """Add observations: how many in each bucket, and their sum."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(seconds)


class _Tally:
    """Requests of one kind: how many took how long, and what of that was told."""

    __slots__ = ("_counts", "_seconds", "_told", "_told_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._seconds = 0.0
        self._told = self._counts.copy()
        self._told_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a request."""
        self._counts[bisect_left(_BUCKETS_S, seconds)] += 1
        self._seconds += seconds

    def tell(self, durations: _Durations) -> None:
        """Add what was counted since this was last called."""
        counts, seconds = self._counts.copy(), self._seconds
        if counts != self._told:
            durations.add(
                [now - before for now, before in zip(counts, self._told, strict=True)], seconds - self._told_s
            )
            self._told, self._told_s = counts, seconds


class _Lag(Collector):
    """How far the online index is behind each table, found out when it is asked."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "tiffin_online_lag_versions", "Versions that the online index is behind a table.", labels=("table",)
        )
        # An index that cannot be reached is told of by /ready; the other figures are wanted then all the more.
        with contextlib.suppress(StorageError):
            for each in self._store.online_lag()[:_MOST_TABLES]:
                lag.add_metric([each.table], each.versions)
        yield lag


def _forget_dead(folder: Path) -> None:
    """Remove what workers that have died said of the moment; what they have counted stays."""
    for name in LOCAL.names(folder):
        pid = name.removesuffix(".db").rpartition("_")[2]
        if name.startswith("gauge_live") and pid.isdigit() and not _is_alive(int(pid)):
            multiprocess.mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
