"""Profiles kept beside the tables: each is made once for a version, and read from a file from then on.

A file holds nothing that cannot be made again: one that is missing, damaged or of another form is, and where none can
be written the profile is made each time. So files are not synced, and each has a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from tiffin.errors import StorageError
from tiffin.files import FileSystem, contained, make_folders, remove_tree, sweep, translated, write_unsynced
from tiffin.quality.profiles.profile import ColumnProfile, Common, Profile
from tiffin.tables.state import State

FORMAT = 1
"""Of the files; profiles of another format are made anew."""
MOST_KEPT = 100
"""Profiles of a table; the oldest versions' go first."""
MOST_BYTES = 32 << 20
"""Of the profiles of a table."""

_DIGITS = 20
_NAME = re.compile(rf"\d{{{_DIGITS}}}-[0-9a-f]{{32}}\.json")
_LOCK = ".lock"
_DIGEST_BYTES = 16
_TYPES: dict[type[pl.DataType], type] = {
    pl.Date: date,
    pl.Datetime: datetime,
    pl.Time: time,
    pl.Duration: timedelta,
    pl.Decimal: Decimal,
}


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds."""

    format: int
    mark: tuple[str, int, int]
    """Of the version, as `State.mark` has it."""
    digest: str
    """Of the profile as it is written here."""
    profile: msgspec.Raw


class KeptProfiles:
    """The profiles in a folder, by table and version.

    Parameters
    ----------
    fs : FileSystem
        Where they lie.
    folder : Path
        Holds a folder for each table; made when first needed.
    """

    def __init__(self, fs: FileSystem, folder: Path) -> None:
        self._fs = fs
        self._folder = folder

    def get(self, state: State) -> Profile | None:
        """Return the profile of a version, if it is kept and as it was written."""
        try:
            path = self._path(state)
            with translated(path, doing="read"):
                data = self._fs.read(path)
            kept = msgspec.json.decode(data, type=_Kept)
            if (kept.format, kept.mark, kept.digest) != (FORMAT, state.mark, _digest(kept.profile)):
                return None
            return _revived(msgspec.json.decode(kept.profile, type=Profile), state.spec.dtypes)
        except (StorageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def get_or_make(self, state: State, make: Callable[[], Profile]) -> Profile:
        """Return the profile of a version; of many who ask at once, also in other processes, one makes it.

        Parameters
        ----------
        state : State
            The version.
        make : callable
            Makes its profile.
        """
        found = self.get(state)
        if found is not None:
            return found
        with contextlib.ExitStack() as held:
            is_kept = False
            with contextlib.suppress(StorageError):
                is_kept = held.enter_context(self._alone(state.metadata.id))
            if is_kept and (found := self.get(state)) is not None:
                return found
            made = make()
            if is_kept:
                # The disk may be full; the profile is as good.
                with contextlib.suppress(StorageError):
                    self._put(state, made)
                    self.retire(state.metadata.id)
        return made

    def retire(self, table_id: str, oldest: int = 0) -> None:
        """Remove the profiles of versions before the oldest that there is, and the oldest beyond the bounds."""
        folder = self._folder_of(table_id)
        size = 0
        with translated(folder, doing="clear"):
            names = self._fs.names(folder) if self._fs.stat(folder) else []
            kept = sorted((name for name in names if _NAME.fullmatch(name)), reverse=True)
            for place, name in enumerate(kept):
                found = self._fs.stat(folder / name)
                size += found.size if found else 0
                if place >= MOST_KEPT or size > MOST_BYTES or int(name[:_DIGITS]) < oldest:
                    # Another process may be quicker.
                    with contextlib.suppress(FileNotFoundError):
                        self._fs.remove(folder / name)

    def forget(self, table_id: str) -> None:
        """Remove the profiles of a table."""
        remove_tree(self._fs, self._folder / _name_of(table_id))

    def sweep(self, table_ids: Collection[str]) -> None:
        """Remove the profiles of all but these tables: of those that were dropped where this folder was not known."""
        with translated(self._folder, doing="list"):
            names = self._fs.names(self._folder) if self._fs.stat(self._folder) else []
        for name in set(names).difference(map(_name_of, table_ids)):
            remove_tree(self._fs, self._folder / name)

    @contextlib.contextmanager
    def _alone(self, table_id: str) -> Iterator[bool]:
        folder = self._folder_of(table_id)
        make_folders(self._fs, folder)
        with self._fs.lock(folder / _LOCK):
            yield True

    def _put(self, state: State, made: Profile) -> None:
        path = self._path(state)
        sweep(self._fs, path.parent)
        written = msgspec.Raw(msgspec.json.encode(made))
        kept = _Kept(format=FORMAT, mark=state.mark, digest=_digest(written), profile=written)
        write_unsynced(self._fs, path, msgspec.json.encode(kept))

    def _folder_of(self, table_id: str) -> Path:
        return contained(self._folder, _name_of(table_id))

    def _path(self, state: State) -> Path:
        mark = _digest(msgspec.json.encode(state.mark))
        return self._folder_of(state.metadata.id) / f"{state.version:0{_DIGITS}}-{mark}.json"


def _name_of(table_id: str) -> str:
    # Another writer may have put anything into its table's id.
    return _digest(table_id.encode())


def _digest(data: bytes | msgspec.Raw) -> str:
    return hashlib.blake2b(bytes(data), digest_size=_DIGEST_BYTES).hexdigest()


def _revived(profile: Profile, dtypes: dict[str, pl.DataType]) -> Profile:
    """Give values that JSON has not, such as times, back the types that they had."""
    columns = tuple(_column(each, dtypes[each.name]) for each in profile.columns)
    return msgspec.structs.replace(profile, columns=columns)


def _column(column: ColumnProfile, dtype: pl.DataType) -> ColumnProfile:
    def value(written: Any) -> Any:
        return _value(written, dtype)

    quantiles = column.quantiles
    if dtype.is_temporal():
        quantiles = {at: value(written) for at, written in quantiles.items()}
    return msgspec.structs.replace(
        column,
        min=value(column.min),
        max=value(column.max),
        quantiles=quantiles,
        common=tuple(Common(value(each.value), each.rows) for each in column.common),
    )


def _value(written: Any, dtype: pl.DataType) -> Any:
    kind = Decimal if dtype.is_integer() else _TYPES.get(dtype.base_type())
    if kind is None or not isinstance(written, str):
        return written
    try:
        found: Any = msgspec.convert(written, kind)
    except msgspec.ValidationError:
        # A time that Python has not was text from the beginning.
        return written
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return found.astimezone(ZoneInfo(dtype.time_zone))
    return found
