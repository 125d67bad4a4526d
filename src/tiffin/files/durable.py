"""Durable writing, built from the methods of `FileSystem` alone.

So a simulated file system can fail or crash every single step and show that nothing acknowledged is lost.
These functions raise `tiffin.errors.StorageError`, with one exception that callers rely on: `publish` lets
`FileExistsError` through, because it means that another writer was first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tiffin.errors import InvalidName, OutcomeUnknown, StorageError
from tiffin.files.system import LOCAL, storage_error, translated

if TYPE_CHECKING:
    from tiffin.files.system import Content, FileSystem

_TEMPORARY = re.compile(r"\.tiffin-[0-9a-f]{16}\.tmp")


def write_durably(fs: FileSystem, path: Path, content: Content, *, is_private: bool = False) -> None:
    """Write a file so that it is on the disk, whole, when this returns; what had the name is replaced in one step.

    Parameters
    ----------
    fs : FileSystem
        Where to write.
    path : Path
        The file, in an existing folder.
    content : Buffer or callable
        Its bytes, or a function that writes them to the open file.
    is_private : bool
        Whether it is the owner's alone to read and write.

    Raises
    ------
    StorageError
        Nothing was changed.
    OutcomeUnknown
        The file is there, but whether it survives a power loss is not known.
    """
    _rename_or_discard(fs, _stage(fs, path, content, is_private=is_private), path)
    _settle(fs, path)


def write_unsynced(fs: FileSystem, path: Path, content: Content) -> None:
    """Write a file that can be made again, in one step for those who read it, but without waiting for the disk.

    Parameters
    ----------
    fs : FileSystem
        Where to write.
    path : Path
        The file, in an existing folder. After a power loss it may be missing, empty or torn.
    content : Buffer or callable
        Its bytes, or a function that writes them to the open file.

    Raises
    ------
    StorageError
        Nothing was changed.
    """
    _rename_or_discard(fs, _stage(fs, path, content, is_synced=False), path)


def publish(fs: FileSystem, path: Path, content: Content) -> None:
    """Write a file durably under a name that nobody has taken yet: a compare-and-set.

    Parameters
    ----------
    fs : FileSystem
        Where to write.
    path : Path
        The file, in an existing folder.
    content : Buffer or callable
        Its bytes, or a function that writes them to the open file.

    Raises
    ------
    FileExistsError
        Someone else was first; nothing was changed.
    StorageError
        Nothing was changed.
    OutcomeUnknown
        The file is there and others may have seen it, but whether it survives a power loss is not known.
    """
    temporary = _stage(fs, path, content)
    try:
        fs.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(error, path, "publish") from error
    finally:
        # Once linked it is published: a temporary that cannot be removed is left for `sweep`.
        _discard(fs, temporary)
    _settle(fs, path)


def keep(fs: FileSystem, path: Path, content: Content, *, replace: bool) -> None:
    """Keep a file among others of its kind, one writer at a time; what killed writers left there is swept up.

    Parameters
    ----------
    fs : FileSystem
        Where it lies.
    path : Path
        The file; its folder is made if it is not there.
    content : Content
        What is in it.
    replace : bool
        Whether it takes the place of one of the same name.

    Raises
    ------
    FileExistsError
        There is one of that name, and `replace` is False.
    StorageError
        The disk refused.
    """
    make_folders(fs, path.parent)
    with fs.lock(path.parent / ".lock"):
        sweep(fs, path.parent)
        (write_durably if replace else publish)(fs, path, content)


def _stage(fs: FileSystem, path: Path, content: Content, *, is_synced: bool = True, is_private: bool = False) -> Path:
    """Write the content under a temporary name beside `path`, and return that name."""
    temporary = path.with_name(f".tiffin-{os.urandom(8).hex()}.tmp")
    try:
        with translated(path, doing="write"):
            fs.create(temporary, content, is_private=is_private)
            if is_synced:
                fs.sync(temporary)
    except StorageError:
        # After a failed sync the system may call lost pages clean: only a new file can be trusted.
        _discard(fs, temporary)
        raise
    return temporary


def _rename_or_discard(fs: FileSystem, temporary: Path, path: Path) -> None:
    try:
        with translated(path, doing="write"):
            fs.rename(temporary, path)
    except StorageError:
        _discard(fs, temporary)
        raise


def _discard(fs: FileSystem, temporary: Path) -> None:
    """Remove a temporary if that is possible; `sweep` gets it otherwise."""
    with contextlib.suppress(OSError):
        fs.remove(temporary)


def _settle(fs: FileSystem, path: Path) -> None:
    """Make the entry of a file that is already visible durable."""
    try:
        fs.sync_folder(path.parent)
    except OSError as error:
        message = f"cannot tell whether {str(path)!r} would survive a power loss: {error.strerror or error}"
        raise OutcomeUnknown(message, hint="check the disk, and read before you repeat this", path=str(path)) from error


def not_written(error: OutcomeUnknown) -> StorageError:
    """Say of a file that nothing speaks of yet, and that was removed again, why it is not there: that is known."""
    return storage_error(cast("OSError", error.__cause__), Path(error.context["path"]), "write")


def make_folders(fs: FileSystem, path: Path) -> None:
    """Make a folder and its missing parents, all durable when this returns.

    Each level is synced before the next is made, so of the levels that exist only the deepest can be unsynced:
    by a writer that was killed or failed between the two. It is therefore synced again even if nothing is missing.

    Parameters
    ----------
    fs : FileSystem
        Where to make it.
    path : Path
        The folder.

    Raises
    ------
    StorageError
        A level cannot be made or synced, or a file is in the way.
    """
    with translated(path, doing="make the folder"):
        missing = []
        level = path
        while (found := fs.stat(level)) is None and level != level.parent:
            missing.append(level)
            level = level.parent
        if found is not None and not found.is_folder and not found.is_link:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        # A parent that may not be read is not ours, and neither is the entry in it.
        with contextlib.suppress(PermissionError):
            fs.sync_folder(level.parent)
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                fs.make_folder(folder)
            fs.sync_folder(folder.parent)


def sweep(fs: FileSystem, folder: Path) -> int:
    """Remove the temporaries that dead writers left in a folder.

    The caller must hold, exclusively, the lock that the writers to this folder hold (shared or not) while they
    write. Then every temporary is a dead writer's: the system lets go of a lock when its holder dies. Process ids
    in the names would not do: they mean nothing in another container or on another machine.

    Parameters
    ----------
    fs : FileSystem
        Where to look.
    folder : Path
        The folder, not searched further down.

    Returns
    -------
    int
        Number of temporaries removed.

    Raises
    ------
    StorageError
        The folder cannot be listed, or a temporary not removed.
    """
    with translated(folder, doing="sweep"):
        temporaries = [name for name in fs.names(folder) if _TEMPORARY.fullmatch(name)]
        for name in temporaries:
            # Checkpoints are written without that lock: theirs may be gone by now.
            with contextlib.suppress(FileNotFoundError):
                fs.remove(folder / name)
    return len(temporaries)


def remove_tree(fs: FileSystem, path: Path) -> None:
    """Remove a file or a folder with all it holds; symbolic links are removed, never followed.

    Parameters
    ----------
    fs : FileSystem
        Where to remove it.
    path : Path
        The file or folder; one that is not there is no error.

    Raises
    ------
    StorageError
        Something could not be removed; the rest may be gone.
    """
    with translated(path, doing="remove"):
        if _remove_below(fs, path):
            fs.sync_folder(path.parent)


def _remove_below(fs: FileSystem, path: Path) -> bool:
    found = fs.stat(path)
    if found is None:
        return False
    # Another process may be removing the same tree: what is gone needs no removing.
    with contextlib.suppress(FileNotFoundError):
        if not found.is_folder:
            fs.remove(path)
            return True
        for name in fs.names(path):
            _remove_below(fs, path / name)
        fs.remove_folder(path)
    return True


def contained(base: Path, *parts: str) -> Path:
    """Join names to a base folder so that the result is surely inside it.

    Parameters
    ----------
    base : Path
        The folder to stay in; it may itself be a symbolic link.
    *parts : str
        One name for each level.

    Returns
    -------
    Path
        `base / parts[0] / parts[1] / …`; it need not exist.

    Raises
    ------
    InvalidName
        A part is empty, `.` or `..`, or holds a separator or NUL.
    StorageError
        A level is a symbolic link, or cannot be looked at.
    """
    path = base
    for part in parts:
        if part in ("", ".", "..") or any(character in part for character in "/\\\0"):
            raise InvalidName(
                f"{part!r} is not the name of a file or folder",
                hint="name one level at a time, without separators or dots alone",
                part=part,
            )
        path = path / part
        with translated(path, doing="look at"):
            found = LOCAL.stat(path)
        if found is not None and found.is_link:
            raise StorageError(
                f"{str(path)!r} is a symbolic link", hint="put the file or folder itself there", path=str(path)
            )
    return path
