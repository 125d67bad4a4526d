"""Feature services: the named lists of references that models ask for, one small JSON file each."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import msgspec

from tiffin.errors import ConflictError, CorruptData, InUse, InvalidName, ServiceNotFound, StorageError, did_you_mean
from tiffin.files import FileSystem, Stat, contained, keep, translated
from tiffin.files.sealed import seal, unseal
from tiffin.schema.names import Reference, TableName, check_part, is_part, parse_reference

_SUFFIX = ".json"


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A named list of references, for one model."""

    name: str
    features: tuple[str, ...]
    """References as they were written, each with its group."""
    description: str = ""
    created: datetime
    """When it was saved as it is, UTC."""
    majors: tuple[int | None, ...] = ()
    """Of each reference, which major version the schema of its table had then; None for what is computed on demand."""

    def uses(self, table: TableName) -> list[Reference]:
        """Return the references to a table."""
        parsed = map(parse_reference, self.features)
        return [reference for reference in parsed if (reference.group, reference.name) == table]


class Registry:
    """The feature services of a store.

    Parameters
    ----------
    fs : FileSystem
        Where they lie.
    folder : Path
        Holds a file for each service; it need not exist.
    """

    def __init__(self, fs: FileSystem, folder: Path) -> None:
        self._fs = fs
        self._folder = folder

    def save(self, service: Service, *, replace: bool = False) -> None:
        """Save a service; when this returns, it survives a power loss.

        Parameters
        ----------
        service : Service
            Its references name their groups.
        replace : bool
            Whether it takes the place of one of the same name.

        Raises
        ------
        ConflictError
            The name is taken, and `replace` is False.
        """
        path = self._path(service.name)
        try:
            keep(self._fs, path, seal(service), replace=replace)
        except FileExistsError:
            raise ConflictError(
                f"there is a service {service.name!r} already",
                hint="choose another name, or replace it (replace=True, --replace)",
                service=service.name,
            ) from None

    def services(self) -> list[Service]:
        """List the services by name, without those whose files are damaged."""
        return self._read()[0]

    def damaged(self) -> dict[str, StorageError]:
        """Say of each service whose file cannot be read what is wrong with it."""
        return self._read()[1]

    def service(self, name: str) -> Service:
        """Return a service.

        Raises
        ------
        ServiceNotFound
            There is none of this name; the hint says which are close.
        CorruptData
            Its file is damaged.
        """
        path = self._path(name)
        with translated(path, doing="read"):
            if self._fs.stat(path) is None:
                raise self._not_found(name)
            text = bytes(self._fs.read(path))
        return _decode(text, name, path)

    def edition(self, name: str) -> Stat | None:
        """Return what is another whenever a service is saved anew, without reading it; None if there is none."""
        path = self._folder / f"{check_part(name, 'service')}{_SUFFIX}"
        with translated(path, doing="look at"):
            return self._fs.stat(path)

    def drop(self, name: str) -> None:
        """Remove a service, even a damaged one.

        Raises
        ------
        ServiceNotFound
            There is none of this name.
        """
        path = self._path(name)
        with translated(path, doing="remove"):
            if self._fs.stat(path) is None:
                raise self._not_found(name)
            self._fs.remove(path)
            self._fs.sync_folder(self._folder)

    def users(self, table: TableName, columns: Collection[str] | None = None) -> list[str]:
        """Name the services that use a table, or some columns of its newest version.

        Parameters
        ----------
        table : TableName
            The table.
        columns : collection of str, optional
            Features: a reference to the whole table uses them all, a pinned one none of the newest version.

        Returns
        -------
        list of str

        Raises
        ------
        StorageError
            The file of a service cannot be read, so that what it uses is not known.
        """
        services = self._all()
        if columns is None:
            return [service.name for service in services if service.uses(table)]
        return [
            service.name
            for service in services
            if any(use.version is None and use.feature in {None, *columns} for use in service.uses(table))
        ]

    def check_unused(self, what: str, table: TableName, columns: Collection[str] | None = None) -> None:
        """Refuse to take away what services use.

        Parameters
        ----------
        what : str
            What is to be taken away, for the message.
        table, columns
            As for `users`.

        Raises
        ------
        InUse
            Naming the services.
        StorageError
            As for `users`.
        """
        _refuse(what, table, self.users(table, columns))

    def check_pin_unused(self, what: str, table: TableName, pin: str) -> None:
        """Refuse to take away a tag or a stage that services use; raises as `check_unused` does."""
        uses = {service.name: service.uses(table) for service in self._all()}
        _refuse(what, table, [name for name, used in uses.items() if any(use.version == pin for use in used)])

    def pinned(self, table: TableName) -> list[int]:
        """List the versions of a table that services pin by number; what has a name is kept by that.

        Raises
        ------
        StorageError
            As for `users`.
        """
        uses = [use for service in self._all() for use in service.uses(table)]
        return sorted({use.version for use in uses if isinstance(use.version, int)})

    def _all(self) -> list[Service]:
        services, damaged = self._read()
        for error in damaged.values():
            raise error
        return services

    def _read(self) -> tuple[list[Service], dict[str, StorageError]]:
        services: list[Service] = []
        damaged: dict[str, StorageError] = {}
        for name in self._names():
            try:
                services.append(self.service(name))
            except StorageError as error:
                damaged[name] = error
            except ServiceNotFound:
                # Dropped since its folder was listed.
                continue
        return services, damaged

    def _names(self) -> list[str]:
        with translated(self._folder, doing="list"):
            if self._fs.stat(self._folder) is None:
                return []
            names = self._fs.names(self._folder)
        found = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(name for name in found if is_part(name))

    def _path(self, name: str) -> Path:
        return contained(self._folder, check_part(name, "service") + _SUFFIX)

    def _not_found(self, name: str) -> ServiceNotFound:
        hint = did_you_mean(name, self._names()) or "there are none yet: create one first"
        return ServiceNotFound(f"there is no service {name!r}", hint=hint, service=name)


def _refuse(what: str, table: TableName, users: list[str]) -> None:
    if users:
        raise InUse(
            f"{what} cannot be removed: used by the feature service{'s' * (len(users) > 1)} {', '.join(users)}",
            hint="drop or replace the service first, or force it (force=True, --force)",
            table=str(table),
            services=users,
        )


def _decode(text: bytes, name: str, path: Path) -> Service:
    """Read the file of a service.

    Raises
    ------
    CorruptData
        It is not what `Registry.save` writes.
    """
    try:
        service = unseal(text, Service, is_always_sealed=False)
        references = [parse_reference(feature) for feature in service.features]
    except (msgspec.MsgspecError, InvalidName) as error:
        problem = str(error)
    else:
        if service.name == name and references and all(reference.group for reference in references):
            return service
        problem = f"it is not the file of a service {name!r}"
    raise CorruptData(
        f"the file of service {name!r} is damaged: {path}: {problem}",
        hint="put it back from a copy, or drop the service and create it again",
        service=name,
    )
