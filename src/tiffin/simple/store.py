"""The guides' store: several frames of a group saved and read by name."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from tiffin import frames
from tiffin.errors import InvalidInputError, TiffinError
from tiffin.frames import FeatureFrame
from tiffin.schema.names import check_part
from tiffin.simple.caches import MIB, figures
from tiffin.simple.config import FeatureStoreConfig
from tiffin.simple.lookup import rows_of
from tiffin.simple.requests import Requests
from tiffin.store import FeatureStore

if TYPE_CHECKING:
    import pandas as pd


class StoreCache:
    """The figures of a store's memory cache.

    Parameters
    ----------
    store : FeatureStore
        Whose cache.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def get_stats(self) -> dict[str, Any]:
        """Return the figures since the store was opened.

        Returns
        -------
        dict
            `size` and `max_size` (frames), `bytes`, `max_bytes`, `ttl_seconds`, `hits`, `misses`, `hit_rate` (0-1),
            `expired`, `evictions`, and the guides' other names for some of them (`tiffin.simple.caches.figures`).
        """
        stats = self._store.stats().memory_cache
        return {} if stats is None else figures(stats)


class SimpleFeatureStore:
    """A feature store that saves and reads pandas frames, several at a time.

    Parameters
    ----------
    base_path : str, Path or FeatureStoreConfig
        The store's folder, or all about it.
    memory_cache_size : int, optional
        Most frames held in memory; 1000 if neither this nor a setting says.
    disk_cache_size_mb : float, optional
        Most megabytes (2**20 bytes) of decoded frames on disk; 1024 if neither this nor a setting says.

    Attributes
    ----------
    store : FeatureStore
        What it is a layer over: versions, history, training frames.
    cache : StoreCache or None
        Figures of the memory cache; None if it is off.

    Raises
    ------
    InvalidInputError
        A setting is not allowed, or sizes are given beside a configuration.
    StorageError
        The path is a file.

    Examples
    --------
    >>> store = SimpleFeatureStore("feature_store")
    >>> paths = store.save_features("user", {"ratings": pandas.DataFrame({"entity_id": [7, 8], "mean": [4.5, 3.0]})})
    >>> store.get_features(["ratings"], entity_ids=["7"])["ratings"]["mean"].tolist()
    [4.5]
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | FeatureStoreConfig = "feature_store",
        memory_cache_size: int | None = None,
        disk_cache_size_mb: float | None = None,
    ) -> None:
        config = base_path
        if not isinstance(config, FeatureStoreConfig):
            config = FeatureStoreConfig(config, cache_max_size=memory_cache_size, disk_cache_size_mb=disk_cache_size_mb)
        elif memory_cache_size is not None or disk_cache_size_mb is not None:
            raise InvalidInputError(
                "sizes of the caches are given beside a configuration",
                hint="write them in FeatureStoreConfig: cache_max_size, disk_cache_size_mb",
            )
        self.store = FeatureStore(config.base_path, **config.settings())
        if not self.store.path.exists():
            self.store.init()
        settings = self.store.settings
        is_on = settings.memory_cache_bytes and settings.memory_cache_entries
        self.cache = StoreCache(self.store) if is_on else None
        self._requests = Requests()
        _wake()

    def save_features(
        self, feature_group: str, features: Mapping[str, Any], *, entity: str | Sequence[str] | None = None
    ) -> dict[str, str]:
        """Save frames as tables of a group, each in place of the contents and columns it had.

        All frames are looked at before the first is saved, so bad input changes nothing. Each save is one durable
        version; several are not one: if the disk refuses in between, the error says which were saved.

        Parameters
        ----------
        feature_group : str
            The group.
        features : mapping of str to frame
            Table name to pandas frame (or any that `FeatureStore.save` takes).
        entity : str or sequence of str, optional
            Key column or columns of these tables. Left out: as each table has it, else `entity_id` if there is one.

        Returns
        -------
        dict of str to str
            Table name to its folder.

        Raises
        ------
        InvalidName, InvalidInputError, SchemaMismatch
            A name or a frame cannot be saved.
        StorageError
            The disk refused. In all errors `context["saved"]` has what this call saved before, by name.
        """
        saved: dict[str, str] = {}
        accepted = {}
        for name, frame in features.items():
            with _telling(feature_group, name, saved):
                check_part(feature_group, "group")
                check_part(name, "table")
                given = frames.ingest(frame)
                accepted[name] = FeatureFrame(given.frame, origins=given.origins)
        for name, frame in accepted.items():
            with _telling(feature_group, name, saved):
                commit = self.store.save(f"{feature_group}/{name}", frame, entity=entity, evolve=True)
            saved[name] = commit.path
        return saved

    def get_features(
        self,
        feature_names: Sequence[str],
        group: str | None = None,
        entity_ids: Any = None,
        use_cache: bool = True,
    ) -> dict[str, pd.DataFrame]:
        """Read tables by name.

        Parameters
        ----------
        feature_names : sequence of str
            Names of tables; without a group, `group/name` too.
        group : str, optional
            The group of all of them; left out, each is looked up by its name.
        entity_ids : sequence, optional
            Keys whose rows are wanted; none for an empty list. They are compared with the table's entity, or with its
            column `entity_id`, in that column's type: "7" is the number 7 where it holds numbers.
        use_cache : bool
            Whether cached frames may answer.

        Returns
        -------
        dict of str to pandas.DataFrame
            By the names given. The caller may change the frames: nobody else sees that.

        Raises
        ------
        TableNotFound
            There is no such table.
        Ambiguous
            The group was left out and several groups have the name; the error lists them.
        InvalidInputError
            A key cannot be one of the column's values, or `entity_ids` are given for a table that has neither an
            entity nor a column `entity_id`: giving all its rows would be a wrong answer.
        """
        with self._requests.timed():
            _check_question(feature_names, group)
            references = {name: f"{group}/{name}" if group else name for name in feature_names}
            return {
                name: rows_of(self.store, reference, entity_ids, use_cache=use_cache).to_pandas()
                for name, reference in references.items()
            }

    def get_performance_report(self) -> dict[str, Any]:
        """Report how requests went, how the caches did and what is stored.

        Returns
        -------
        dict
            `performance_metrics`: calls of `get_features` and their latencies (`tiffin.simple.requests.RequestStats`);
            `memory_cache_stats`: as `cache.get_stats()`, None if it is off; `disk_cache_stats` (None if it is off) and
            `disk_cache_size_mb`; `storage_info`: `total_feature_groups`, `total_features` (tables: the guides call a
            saved frame a feature), `total_columns`, `total_rows`, and `total_size_mb` of the newest versions
            (2**20 bytes).
        """
        stats = self.store.stats()
        disk = stats.disk_cache
        return {
            "performance_metrics": dict(self._requests.stats()),
            "memory_cache_stats": None if stats.memory_cache is None else figures(stats.memory_cache),
            "disk_cache_stats": None if disk is None else dict(disk),
            "disk_cache_size_mb": 0.0 if disk is None else disk["bytes"] / MIB,
            "storage_info": {
                "total_feature_groups": stats.groups,
                "total_features": stats.tables,
                "total_columns": stats.features,
                "total_rows": stats.rows,
                "total_size_mb": stats.size_bytes / MIB,
            },
        }

    def start_api_server(self, host: str = "127.0.0.1", port: int = 8001) -> None:
        """Serve the store over HTTP until the server is stopped; see `FeatureStore.start_api_server`.

        Parameters
        ----------
        host : str
            Address to listen on.
        port : int
            Port to listen on.

        Raises
        ------
        StorageError
            The server could not start, or failed.
        """
        self.store.start_api_server(host, port)

    def close(self) -> None:
        """Finish what is being written to the disk cache. The store can still be used."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SimpleFeatureStore({str(self.store.path)!r})"


@functools.cache
def _wake() -> None:
    """Let Polars start its threads, and pandas too if the program uses it: now, not in the first save or read."""
    frame = pl.DataFrame({str(number): [float(number)] for number in range(8)})
    if "pandas" in sys.modules:
        frame = frames.ingest(FeatureFrame(frame).to_pandas()).frame
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    pl.scan_parquet(buffer.getvalue()).collect()


@contextmanager
def _telling(group: str, name: str, saved: Mapping[str, str]) -> Iterator[None]:
    """Let an error tell which of several tables it is about, and which were saved before."""
    try:
        yield
    except TiffinError as error:
        error.context.update(failed=name, saved=dict(saved))
        error.add_note(f"{group}/{name} was not saved; saved before it: {', '.join(saved) or 'nothing'}")
        raise


def _check_question(names: Any, group: Any) -> None:
    if isinstance(names, str):
        raise InvalidInputError(f"feature_names is a list of names, not the text {names!r}", hint=f"write [{names!r}]")
    if group is not None and not isinstance(group, str):
        raise InvalidInputError(
            f"group is {group!r}, not a name", hint="name the argument if these are keys: entity_ids=…"
        )
