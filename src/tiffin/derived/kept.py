"""The on-demand features that a store knows, one small JSON file each; the code of functions is not among it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tiffin.derived.on_demand import OnDemandFeatures
from tiffin.errors import (
    ConflictError,
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    InvalidName,
    StorageError,
    did_you_mean,
)
from tiffin.files import FileSystem, contained, keep, translated
from tiffin.files.sealed import seal, unseal
from tiffin.schema.names import is_part, parse_reference

_SUFFIX = ".json"


class KeptOnDemand:
    """On-demand features in a folder.

    Parameters
    ----------
    fs : FileSystem
        Where it lies.
    folder : Path
        Holds a folder for each group; it need not exist.
    """

    def __init__(self, fs: FileSystem, folder: Path) -> None:
        self._fs = fs
        self._folder = folder

    def save(self, declared: OnDemandFeatures, *, replace: bool) -> None:
        """Keep what on-demand features are; when this returns, it survives a power loss.

        Raises
        ------
        ConflictError
            There are others of this name, and `replace` is False.
        """
        path = self._path(declared.name)
        try:
            keep(self._fs, path, seal(declared), replace=replace)
        except FileExistsError:
            raise ConflictError(
                f"there are on-demand features {declared.name} already, and they are computed otherwise",
                hint="choose another name, or replace them (replace=True)",
            ) from None

    def find(self, name: str) -> OnDemandFeatures | None:
        """Return on-demand features; None if there are none of this name.

        Raises
        ------
        CorruptData
            The file is damaged.
        """
        path = self._path(name)
        with translated(path, doing="read"):
            if self._fs.stat(path) is None:
                return None
            text = bytes(self._fs.read(path))
        try:
            declared = unseal(text, OnDemandFeatures, is_always_sealed=False)
            _check(declared, name)
        except (msgspec.MsgspecError, InvalidName) as error:
            raise CorruptData(
                f"the file of on-demand features {name} is damaged: {path}: {error}",
                hint="put it back from a copy, or register them again (replace=True)",
            ) from error
        return declared

    def all(self) -> list[OnDemandFeatures]:
        """List the on-demand features by name, without those whose files are damaged."""
        return self._read()[0]

    def damaged(self) -> dict[str, StorageError]:
        """Say of those whose files are damaged what is wrong with them."""
        return self._read()[1]

    def _read(self) -> tuple[list[OnDemandFeatures], dict[str, StorageError]]:
        found: list[OnDemandFeatures] = []
        damaged: dict[str, StorageError] = {}
        for name in self.names():
            try:
                declared = self.find(name)
            except StorageError as error:
                damaged[name] = error
                continue
            if declared is not None:
                found.append(declared)
        return found, damaged

    def drop(self, name: str) -> None:
        """Forget on-demand features.

        Raises
        ------
        FeatureNotFound
            There are none of this name.
        """
        path = self._path(name)
        with translated(path, doing="remove"):
            if self._fs.stat(path) is None:
                raise FeatureNotFound(f"there are no on-demand features {name}", hint=did_you_mean(name, self.names()))
            self._fs.remove(path)
            self._fs.sync_folder(path.parent)

    def names(self) -> list[str]:
        """List the on-demand features by name."""
        return sorted(
            f"{group}/{file.removesuffix(_SUFFIX)}"
            for group in self._inside(self._folder)
            if is_part(group)
            for file in self._inside(self._folder / group)
            if file.endswith(_SUFFIX) and is_part(file.removesuffix(_SUFFIX))
        )

    def _inside(self, folder: Path) -> list[str]:
        with translated(folder, doing="list"):
            return [] if self._fs.stat(folder) is None else self._fs.names(folder)

    def _path(self, name: str) -> Path:
        reference = parse_reference(name)
        if reference.group is None or name != f"{reference.group}/{reference.name}":
            raise InvalidInputError(f"{name!r} does not name on-demand features", hint="write group/name alone")
        return contained(self._folder, reference.group, reference.name + _SUFFIX)


def _check(declared: OnDemandFeatures, name: str) -> None:
    """Refuse what was kept under another name, or has inputs that are none."""
    for text in declared.inputs:
        parse_reference(text)
    if declared.name != name:
        raise InvalidName(f"it is about {declared.name}")
