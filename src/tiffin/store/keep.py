"""The verbs that keep house: init, stats, vacuum, compact, examine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tiffin import config
from tiffin.access.keys import keys_of
from tiffin.backup import Backup, Parts, back_up
from tiffin.cache import MemoryStats
from tiffin.doctor import Finding, examine, examine_keys, examine_services
from tiffin.errors import NotFoundError, StorageError
from tiffin.files import contained, make_folders, translated
from tiffin.reading import Stats
from tiffin.store.opened import Opened
from tiffin.tables import upkeep
from tiffin.tables.copying import Told
from tiffin.tables.table import Commit, Table
from tiffin.tables.upkeep import Vacuumed


class Keeping(Opened):
    """Methods of `FeatureStore` that look after the store itself."""

    def init(self) -> Path:
        """Make the store's folder with a settings file that explains every setting.

        Returns
        -------
        Path
            The settings file; one that is there already is left as it is.
        """
        folder = contained(self.path, "config")
        make_folders(self._fs, folder)
        make_folders(self._fs, contained(self.path, "features"))
        path = folder / "tiffin.toml"
        with translated(path, doing="write"):
            if self._fs.stat(path) is None:
                self._fs.create(path, config.default_toml().encode())
                self._fs.sync(path)
                self._fs.sync_folder(folder)
        return path

    def stats(self) -> Stats:
        """Count what the store holds, and how its caches did in this process."""
        infos = list(self._catalog.infos())
        return Stats(
            path=str(self.path),
            groups=len({info.table.partition("/")[0] for info in infos}),
            tables=len(infos),
            features=sum(column.role == "feature" for info in infos for column in info.columns),
            rows=sum(info.rows or 0 for info in infos),
            size_bytes=sum(info.size_bytes for info in infos),
            unreadable=tuple(info.table for info in infos if info.problem),
            memory_cache=self.cache_stats(),
            disk_cache=self._reader.disk.stats() if self._reader.disk is not None else None,
        )

    def cache_stats(self) -> MemoryStats | None:
        """Tell how the memory cache did in this process, cheap enough to be asked all the time; None without one."""
        return self._reader.memory.stats() if self._reader.memory is not None else None

    def vacuum(
        self,
        reference: str | None = None,
        *,
        keep_versions: int | None = None,
        older_than: timedelta | None = None,
        dry_run: bool = False,
    ) -> list[Vacuumed]:
        """Remove old versions and files that belong to no version; versions being read are kept.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables if left out.
        keep_versions : int, optional
            How many of the newest versions to keep. With neither this nor `older_than`, no version is removed.
        older_than : timedelta, optional
            Remove only versions that were replaced longer ago than this.
        dry_run : bool
            Whether only to tell what would be removed.

        Returns
        -------
        list of Vacuumed
            One for each table.
        """
        tables = self._named(reference)
        done = [
            upkeep.vacuum(table, keep_versions=keep_versions, older_than=older_than, dry_run=dry_run)
            for table in tables
        ]
        if not dry_run:
            self._retire_profiles(tables, is_all=reference is None)
        return done

    def _retire_profiles(self, tables: Sequence[Table], *, is_all: bool) -> None:
        """Remove the profiles of versions that are no more; what the disk refuses goes with the next vacuum."""
        with contextlib.suppress(StorageError, NotFoundError):
            ids = {self._retire(table) for table in tables}
            if is_all:
                self._profiles.sweep(ids)

    def _retire(self, table: Table) -> str:
        table_id = table.log.require().metadata.id
        self._profiles.retire(table_id, table.log.oldest())
        return table_id

    def compact(self, reference: str | None = None) -> list[Commit]:
        """Merge the small files of a table, or of all tables; rows and their order stay the same.

        Tables in partitions are left as they are.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables if left out.

        Returns
        -------
        list of Commit
            One for each table in which there was something to merge.
        """
        return [commit for table in self._named(reference) if (commit := upkeep.compact(table)) is not None]

    def backup(self, to: str | os.PathLike[str], *, check: bool = True, progress: Told | None = None) -> Backup:
        """Copy the store, while it is used, into a new folder, or bring an earlier backup of it up to date.

        The backup is a store: opening it, or putting its folder in the place of this one, is all it takes. Each table
        is copied as it is at one moment, with all its versions, tags, stages and quarantined rows; a service, training
        set or on-demand feature is in it with all that it names. Tables are not all of the same moment, but a derived
        one never is newer than what it is made from. Settings, API keys (their hashes) and the audit log are copied
        too; the caches, profiles and the online index, which are made again, are not.

        What is copied is compared with its checksums, and is on the disk when this returns. If it is interrupted, do it
        again: an unfinished backup is refused when it is opened, and an earlier one stays what it was until all that
        is new is there. What the store has no more goes from the backup too.

        Parameters
        ----------
        to : str or Path
            A new or empty folder, or an earlier backup of this store.
        check : bool
            Whether files that are in the backup already are read and compared with their checksums; those that differ
            are copied again. Otherwise they are known by their names and sizes.
        progress : callable, optional
            Is told a table, how many of its versions are copied, and how many it has.

        Returns
        -------
        Backup
            How much it holds, and how much of that was copied.

        Raises
        ------
        CorruptData
            Something in the store is not what was written; the message names it.
        StorageError
            There is no store, something cannot be read, or the backup not be written: `NoSpace` if there is no room.
        ConflictError
            The folder holds something else, or a backup to which something was saved, or another backup to it is under
            way.
        InvalidInputError
            The folder lies in the store, or the store in it.
        """
        parts = Parts(
            fs=self._fs,
            path=self.path,
            tables=self._catalog,
            sets=self._sets.tables,
            registry=self._registry,
            on_demand=self._on_demands.kept,
            keys=keys_of(self.path),
        )
        return back_up(parts, to, check=check, progress=progress)

    def examine(self, reference: str | None = None) -> list[Finding]:
        """Check that every version can be read, every file is what was written, and every service finds its features.

        What is made again by itself when it is damaged is left out: the caches, the profiles and the online index.

        Training sets are examined like tables: one is called `training_sets/<name>`.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables, the training sets and the feature services, if left out.

        Returns
        -------
        list of Finding
            What is wrong, or was repaired when the store was opened; empty if all is well.
        """
        findings = [finding for table in self._named(reference) for finding in examine(table)]
        if reference:
            return findings
        for name, error in self._on_demands.kept.damaged().items():
            findings.append(Finding(table=name, kind="corrupt", what=error.message, hint=error.hint))
        computed = self._on_demands.references()
        services = examine_services(self._catalog, self._registry, computed)
        return [*findings, *self._sets.examine(), *services, *examine_keys(keys_of(self.path))]
