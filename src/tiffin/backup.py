"""Backing a store up while it is used: a copy that is whole, in a new folder or on top of an earlier backup.

Services and training sets are taken first, and leases keep what they name from vacuums until the tables are copied,
each as it is at one moment. So all that they name is in the copy, and a training set can be made again from it, bit for
bit. Tables are not all of one moment, but a derived one is never newer than what it is made from.

A file in the backup says how far it is. An earlier backup is only added to until all is copied, and can be read as it
was; what has then to be exchanged or removed is little. A backup in which that, or the first copy, was not finished is
refused when it is opened.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec

from tiffin.access.keys import Keys
from tiffin.derived.kept import KeptOnDemand
from tiffin.derived.on_demand import OnDemandFeatures
from tiffin.errors import (
    ConflictError,
    CorruptData,
    InvalidInputError,
    NotFoundError,
    ServiceNotFound,
    StorageError,
)
from tiffin.files import FileSystem, contained, make_folders, remove_tree, sweep, translated, write_durably
from tiffin.files.sealed import read_sealed, seal
from tiffin.registry import Registry, Service
from tiffin.schema.evolution import column_of
from tiffin.schema.names import Reference, TableName, is_part, parse_reference
from tiffin.tables import upkeep
from tiffin.tables.catalog import Catalog
from tiffin.tables.copying import ASIDE, Copied, Told, Work, copy, settle
from tiffin.tables.table import Options, Table
from tiffin.training.sets import kept_in

FILE = "backup.json"
_LOCK = ".backup.lock"
_IN_AN_EMPTY_FOLDER = {_LOCK, "lost+found"}
_ALONGSIDE = {"config": re.compile(r"tiffin\.toml|keys\.json"), "logs": re.compile(r"audit(\.\d+)?\.jsonl")}
"""Files that are copied besides, by folder; audit logs that were full have a number."""
_ROUNDS = 20

T = TypeVar("T")
Mark = tuple[str, int, int]


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What was backed up, and how much of it was new."""

    path: str
    tables: int
    versions: int
    """Of all tables."""
    training_sets: int
    services: int
    files_copied: int
    bytes_copied: int
    files_there: int
    """Files that an earlier backup had already."""
    seconds: float


class _Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, so that what was saved to it since is noticed."""

    tables: dict[str, Mark] = {}
    """The newest version of each table and training set."""
    services: tuple[Service, ...] = ()
    on_demand: tuple[OnDemandFeatures, ...] = ()


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the file in a backup says."""

    store: str
    """The folder that it is a backup of."""
    state: Literal["whole", "added to", "unfinished"]
    """Whether it can be relied on; tables in one that is added to may have versions that `contents` does not tell."""
    changed: datetime
    """UTC."""
    contents: _Contents = _Contents()


class Parts(NamedTuple):
    """The parts of a store that a backup holds."""

    fs: FileSystem
    path: Path
    tables: Catalog
    sets: Catalog
    """The training sets, which are tables too."""
    registry: Registry
    on_demand: KeptOnDemand
    keys: Keys


def check_finished(fs: FileSystem, path: Path) -> None:
    """Refuse to open a backup that was not finished.

    Raises
    ------
    StorageError
        It was not; or the file that says so is damaged.
    """
    with translated(path, doing="open"):
        found = fs.stat(path / FILE)
    record = read_sealed(fs, path / FILE, _Record) if found is not None else None
    if record is not None and record.state == "unfinished":
        raise StorageError(
            f"{path} is a backup of {record.store} that was not finished",
            hint="back up to it again (store.backup, tiffin backup). If there is nothing to back up any more, remove "
            f"{FILE} from it: its tables are whole, but some may be missing or older than others",
            path=str(path),
        )


def back_up(store: Parts, to: str | os.PathLike[str], *, check: bool = True, progress: Told | None = None) -> Backup:
    """Copy a store; see `FeatureStore.backup`."""
    began = time.monotonic()
    if "\0" in os.fspath(to):
        raise InvalidInputError(f"the path {to!r} holds a NUL", hint="choose another path for the backup")
    target = Path(to).absolute()
    _check_apart(store.path, target)
    with translated(store.path, doing="back up"):
        if store.fs.stat(store.path.resolve() / "features") is None:
            raise StorageError(f"there is no store in {store.path}", hint="name the folder that the tables are in")
    make_folders(store.fs, target)
    with store.fs.lock(target / _LOCK, wait=False) as alone:
        if not alone:
            raise ConflictError(f"another backup to {target} is under way", hint="wait for it")
        sweep(store.fs, target)
        return _Backing(store, target, Work(store.fs, check, progress)).run(began)


def _check_apart(store: Path, target: Path) -> None:
    source, copied = store.resolve(), target.resolve()
    if source == copied or source in copied.parents or copied in source.parents:
        raise InvalidInputError(
            f"{target} and the store {store} lie in one another", hint="back up to a folder of its own"
        )


class _Small(NamedTuple):
    """The small parts of a store that are in the backup, by name."""

    services: dict[str, Service]
    on_demand: dict[str, OnDemandFeatures]
    sets: dict[str, Copied]


class _Held:
    """Keeps versions of tables from vacuums until all is copied."""

    def __init__(self, catalog: Catalog, stack: ExitStack) -> None:
        self._catalog = catalog
        self._stack = stack
        self._oldest: dict[TableName, int] = {}

    def keep(self, needs: Iterable[tuple[TableName, int]]) -> bool:
        """Keep versions; False if one is gone already."""
        for name, version in needs:
            # A lease keeps all versions from there on.
            if self._oldest.get(name, version + 1) > version:
                try:
                    self._stack.enter_context(self._catalog.table(name).leased(version))
                except NotFoundError:
                    return False
                self._oldest[name] = version
        return True


class _Backing:
    """One backup, while it is made; its folder is locked."""

    def __init__(self, store: Parts, target: Path, work: Work) -> None:
        self._store = store
        self._fs = store.fs
        self._target = target
        self._work = work
        self._features = contained(target, "features")
        self._registry = contained(target, "registry")

    def run(self, began: float) -> Backup:
        before = self._before()
        # A first one is not to be opened from its first file on; an earlier one goes on being what it was.
        self._note("added to" if before.state != "unfinished" else "unfinished", before.contents)
        small, tables = self._copied()
        sets = [*small.sets.values()]
        self._note("unfinished", _Contents())
        self._settle(self._features, tables)
        self._settle(self._registry, sets)
        self._exchange(small)
        self._copy_alongside()
        copied = [*tables, *sets]
        contents = _Contents(
            tables={str(one.copy.name): one.mark for one in copied},
            services=tuple(small.services.values()),
            on_demand=tuple(small.on_demand.values()),
        )
        self._note("whole", contents)
        return Backup(
            path=str(self._target),
            tables=len(tables),
            versions=sum(one.versions for one in tables),
            training_sets=len(sets),
            services=len(small.services),
            files_copied=len(self._work.written),
            bytes_copied=self._work.size_bytes,
            files_there=len(self._work.found),
            seconds=round(time.monotonic() - began, 3),
        )

    def _note(self, state: Literal["whole", "added to", "unfinished"], contents: _Contents) -> None:
        store, now = str(self._store.path.resolve()), datetime.now(UTC)
        record = _Record(store=store, state=state, changed=now, contents=contents)
        write_durably(self._fs, self._target / FILE, seal(record))

    def _before(self) -> _Record:
        """Look at what is in the folder.

        Raises
        ------
        ConflictError
            It is not an earlier backup of this store, or something was saved to it.
        """
        store = str(self._store.path.resolve())
        record = read_sealed(self._fs, self._target / FILE, _Record)
        if record is None:
            with translated(self._target, doing="list"):
                names = {*self._fs.names(self._target)} - _IN_AN_EMPTY_FOLDER
            if names:
                raise ConflictError(
                    f"{self._target} is neither empty nor a backup: it holds {min(names)!r}",
                    hint="back up to a new folder, or to an earlier backup of this store",
                )
            return _Record(store=store, state="unfinished", changed=datetime.now(UTC))
        if record.store != store:
            raise ConflictError(
                f"{self._target} is a backup of {record.store}, not of {store}",
                hint="back up to a folder of its own; of a store that was moved, begin a new backup",
            )
        changed = self._changed(record.contents) if record.state == "whole" else None
        if changed is not None:
            raise ConflictError(
                f"something was saved to the backup {self._target} itself: {changed}",
                hint="it is a store of its own by now: back up to another folder",
            )
        return record

    def _changed(self, contents: _Contents) -> str | None:
        """Name something that came into the backup otherwise; what is damaged or gone will be copied anew."""
        for folder in (self._features, self._registry):
            catalog = Catalog(self._fs, folder, Options())
            for name in catalog.names():
                state = catalog.readable(name)
                known = contents.tables.get(str(name))
                if state is not None and state.mark != known and not _is_before(state.mark, known):
                    return f"table {name}"
        services = {service.name: service for service in contents.services}
        for service in Registry(self._fs, contained(self._registry, "services")).services():
            if services.get(service.name) != service:
                return f"service {service.name}"
        features = {one.name: one for one in contents.on_demand}
        for one in KeptOnDemand(self._fs, contained(self._registry, "on_demand")).all():
            if features.get(one.name) != one:
                return f"on-demand features {one.name}"
        return None

    def _copied(self) -> tuple[_Small, list[Copied]]:
        """Copy the training sets, then the tables, and all that the small parts name with them."""
        for _ in range(_ROUNDS):
            with ExitStack() as stack:
                small = self._small(_Held(self._store.tables, stack))
                tables = [copied for name in _sources_last(self._store.tables) if (copied := self._copy(name))]
            if self._leave_out(small, {one.copy.name: one for one in tables}):
                return small, tables
        raise ConflictError(
            f"what services and training sets of {self._store.path} name is dropped and made anew all the time",
            hint="back up when they rest for a while",
        )

    def _small(self, held: _Held) -> _Small:
        """Take the small parts as they are; of what they name, nothing is vacuumed from then on.

        Raises
        ------
        CorruptData
            One of them is damaged.
        """
        registry, on_demand, sets = self._store.registry, self._store.on_demand, self._store.sets
        for error in (*registry.damaged().values(), *on_demand.damaged().values()):
            raise error
        services: dict[str, Service] = {}
        for known in registry.services():
            service = _settled(partial(_service, registry, known.name), lambda one: held.keep(_pins(one)))
            if service is not None:
                services[known.name] = service
        copied: dict[str, Copied] = {}
        for name in sets.names():
            copy_it = partial(copy, sets.table(name), contained(self._registry, name.group), self._work, is_aside=True)
            one = _settled(copy_it, lambda one: held.keep(_needs(one.copy)))
            if one is not None:
                copied[str(name)] = one
        return _Small(services, {one.name: one for one in on_demand.all()}, copied)

    def _leave_out(self, small: _Small, tables: Mapping[TableName, Copied]) -> bool:
        """Leave out what was dropped meanwhile with what it names; False if it was replaced: there is more to copy."""
        is_done = True
        for name, service in [*small.services.items()]:
            if not _finds(service, tables, small.on_demand):
                now = _service(self._store.registry, name)
                is_done = is_done and now in (None, service)
                if now is None:
                    del small.services[name]
        ids = {one.mark[0] for one in tables.values()}
        for name, one in [*small.sets.items()]:
            recipe = kept_in(one.copy).lock.recipe
            if recipe is not None and any(source.id not in ids for source in recipe.sources.values()):
                state = self._store.sets.table(one.copy.name).log.latest()
                is_done = is_done and (state is None or state.mark == one.mark)
                if state is None:
                    del small.sets[name]
        return is_done

    def _copy(self, name: TableName) -> Copied | None:
        return copy(self._store.tables.table(name), contained(self._features, name.group), self._work)

    def _settle(self, folder: Path, tables: list[Copied]) -> None:
        for one in tables:
            settle(one)
        kept = {one.copy.name for one in tables}
        catalog = Catalog(self._fs, folder, Options())
        for name in catalog.names():
            if name not in kept:
                upkeep.drop(catalog.table(name))
        with translated(folder, doing="list"):
            groups = self._fs.names(folder) if self._fs.stat(folder) else []
            left = [
                folder / group / name
                for group in groups
                if is_part(group) and (at := self._fs.stat(folder / group)) is not None and at.is_folder
                for name in self._fs.names(folder / group)
                if name.startswith(ASIDE)
            ]
        for path in left:
            # Of a table that was dropped before it was ever copied as a whole.
            remove_tree(self._fs, path)

    def _exchange(self, small: _Small) -> None:
        """Make the services and on-demand features those that are kept."""
        registry = Registry(self._fs, contained(self._registry, "services"))
        known = {service.name: service for service in registry.services()}
        for name in {*known, *registry.damaged()} - small.services.keys():
            registry.drop(name)
        for name, service in small.services.items():
            if known.get(name) != service:
                registry.save(service, replace=True)
        on_demand = KeptOnDemand(self._fs, contained(self._registry, "on_demand"))
        features = {one.name: one for one in on_demand.all()}
        for name in {*on_demand.names()} - small.on_demand.keys():
            on_demand.drop(name)
        for name, one in small.on_demand.items():
            if features.get(name) != one:
                on_demand.save(one, replace=True)

    def _copy_alongside(self) -> None:
        """Copy settings, keys and the audit log, for their owner alone: who else may read them is not known."""
        self._store.keys.keys()  # damaged ones are told of, not copied
        for part, kind in _ALONGSIDE.items():
            source, target = contained(self._store.path, part), contained(self._target, part)
            there = self._named(source, kind)
            for name in self._named(target, kind) - there:
                remove_tree(self._fs, target / name)
            if there:
                make_folders(self._fs, target)
                sweep(self._fs, target)
            # The newest log first: if it is put by meanwhile, it is here twice, and not missing.
            for name in sorted(there, key=lambda name: (len(name), name)):
                with suppress(CorruptData):  # it is gone by now
                    self._work.replace(contained(source, name), contained(target, name))

    def _named(self, folder: Path, kind: re.Pattern[str]) -> set[str]:
        with translated(folder, doing="list"):
            names = self._fs.names(folder) if self._fs.stat(folder) else []
        return {name for name in names if kind.fullmatch(name)}


def _is_before(mark: Mark, known: Mark | None) -> bool:
    """Tell whether a table lacks its newest versions: no save has made it so."""
    return known is not None and mark[0] == known[0] and mark[1] < known[1]


def _settled(take: Callable[[], T | None], keep: Callable[[T], bool]) -> T | None:
    """Take something that may be replaced at any time, until all it needs can be kept, or it needs what is gone."""
    taken = take()
    while taken is not None and not keep(taken):
        before, taken = taken, take()
        if taken == before:
            return taken
    return taken


def _service(registry: Registry, name: str) -> Service | None:
    try:
        return registry.service(name)
    except ServiceNotFound:
        return None


def _pins(service: Service) -> Iterator[tuple[TableName, int]]:
    """List the versions that a service pins by number; what has a name is kept by that."""
    for reference in map(parse_reference, service.features):
        if reference.group is not None and isinstance(reference.version, int):
            yield TableName(reference.group, reference.name), reference.version


def _needs(copy: Table) -> Iterator[tuple[TableName, int]]:
    """List the versions that a training set was made from."""
    recipe = kept_in(copy).lock.recipe
    for name, source in recipe.sources.items() if recipe is not None else ():
        yield TableName(*name.split("/")), source.oldest


def _finds(service: Service, tables: Mapping[TableName, Copied], computed: Collection[str]) -> bool:
    """Tell whether all that a service names is in the copy."""
    for text in service.features:
        reference = parse_reference(text)
        name = f"{reference.group}/{reference.name}"
        copied = tables.get(TableName(*name.split("/")))
        if name not in computed and (copied is None or not _holds(copied, reference)):
            return False
    return True


def _holds(copied: Copied, reference: Reference) -> bool:
    """Tell whether the copy of a table has a version and a feature."""
    newest, pin = copied.copy.log.require(), reference.version
    if isinstance(pin, str):
        if pin in {stage.name for stage in copied.stages}:
            return True
        pin = next((tag.version for tag in copied.tags if tag.name == pin), -1)
    if pin is not None and not copied.oldest <= pin <= newest.version:
        return False
    spec = newest.spec if pin is None else copied.copy.log.at(pin).spec
    return reference.feature is None or column_of(spec, reference.feature, newest.spec) is not None


def _sources_last(catalog: Catalog) -> list[TableName]:
    """Order tables so that a derived one is copied before what it is made from."""
    sources = {}
    for name in catalog.names():
        state = catalog.readable(name)
        derivation = state.spec.derivation if state is not None else None
        sources[name] = TableName(*derivation.definition.source.split("/")) if derivation else None

    def depth(name: TableName) -> int:
        steps, at = 0, sources.get(name)
        while at is not None and steps < len(sources):
            steps, at = steps + 1, sources.get(at)
        return steps

    return sorted(sources, key=depth, reverse=True)
