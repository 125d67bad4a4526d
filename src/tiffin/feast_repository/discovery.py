"""Which files of a repository hold definitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath

from tiffin.errors import InvalidInputError
from tiffin.files import LOCAL, translated

_IGNORED = {".git", ".venv", ".ipynb_checkpoints", ".pytest_cache", "__pycache__"}


def python_files(root: Path) -> list[Path]:
    """List the files that Feast would import, in its order."""
    ignored = {path for pattern in _ignored(root) for path in _matching(root, pattern)}
    files = [path for path in root.rglob("*.py") if path.name != "__init__.py" and path.is_file()]
    return sorted(path for path in files if path not in ignored and not _IGNORED.intersection(path.parts))


def _ignored(root: Path) -> list[str]:
    path = root / ".feastignore"
    with translated(path, doing="read"):
        text = bytes(LOCAL.read(path)).decode(errors="replace") if path.is_file() else ""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    parts = PurePath(pattern).parts
    if ".." in parts or not parts:
        raise InvalidInputError(
            f"{pattern!r} in .feastignore names nothing in the repository",
            hint="write paths relative to the repository",
        )
    try:
        for path in root.glob(pattern):
            yield from [path] if path.is_file() else path.rglob("*.py")
    except (ValueError, NotImplementedError) as error:
        raise InvalidInputError(
            f"{pattern!r} in .feastignore is no pattern: {error}", hint="write paths relative to the repository"
        ) from error
