"""Which code is running: the git commit of the folder that it runs in, read without git."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from tiffin.files import LOCAL

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LARGEST_BYTES = 16 << 20
"""Of a file with packed references."""


def git_commit(folder: Path | None = None) -> str:
    """Find the commit that is checked out in a folder or in one above it.

    Files that were changed since are not looked for.

    Parameters
    ----------
    folder : Path, optional
        Absolute; the current one if left out.

    Returns
    -------
    str
        In hexadecimal; empty if the folder is in no git repository, or in one without a commit.

    Notes
    -----
    Source: git's repository layout (gitrepository-layout(5)). References that are kept in a `reftable` are not read.
    """
    try:
        folder = folder or Path.cwd()
        for each in chain((folder,), folder.parents):
            git = each / ".git"
            if (found := LOCAL.stat(git)) is not None:
                return _head(git if found.is_folder else _elsewhere(each))
    except (OSError, ValueError):
        # What cannot be read does not keep anyone from saving.
        return ""
    return ""


def _elsewhere(tree: Path) -> Path:
    """Find the folder of a worktree or submodule: its `.git` is a file that says where."""
    return tree / _read(tree / ".git").removeprefix("gitdir:").strip()


def _head(folder: Path) -> str:
    head = _read(folder / "HEAD")
    if not head.startswith("ref:"):
        return _checked(head)
    name = head.removeprefix("ref:").strip()
    is_inside = not name.startswith("/") and ".." not in name.split("/")
    if is_inside and (loose := _read(folder / name)):
        return _checked(loose)
    # A worktree keeps its own HEAD, and shares its branches with the others.
    common = folder / _read(folder / "commondir")
    if common != folder and is_inside and (loose := _read(common / name)):
        return _checked(loose)
    packed = _read(common / "packed-refs")
    return next((_checked(line[: -len(name) - 1]) for line in packed.splitlines() if line.endswith(f" {name}")), "")


def _read(path: Path) -> str:
    """Read a small file; empty if there is none."""
    try:
        data = LOCAL.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    return bytes(data).decode().strip() if len(data) <= _LARGEST_BYTES else ""


def _checked(text: str) -> str:
    return text if _COMMIT.fullmatch(text) else ""
