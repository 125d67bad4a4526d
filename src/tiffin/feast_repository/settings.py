"""`feature_store.yaml`, in and out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from tiffin.errors import InvalidInputError, MissingDependency, StorageError
from tiffin.files import LOCAL, translated

FILE = "feature_store.yaml"

_LARGEST_FILE = 1 << 20


def read_project(root: Path) -> str:
    """Read what a repository calls its project.

    Parameters
    ----------
    root : Path
        The repository's folder.

    Returns
    -------
    str

    Raises
    ------
    StorageError
        There is no `feature_store.yaml`, or it cannot be read.
    InvalidInputError
        It is no YAML, or does not name the project.
    MissingDependency
        PyYAML is not installed.
    """
    path = root / FILE
    if not path.is_file():
        inner = root / "feature_repo"
        hint = f"give {inner}" if (inner / FILE).is_file() else f"give the folder that holds {FILE}"
        raise StorageError(f"{str(root)!r} is no Feast repository: it has no {FILE}", hint=hint)
    with translated(path, doing="read"):
        text = bytes(LOCAL.read(path.resolve()))
    yaml = _yaml()
    try:
        settings = yaml.safe_load(text) if len(text) <= _LARGEST_FILE else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInputError(f"{str(path)!r} cannot be read as YAML: {reason}", hint="correct it") from error
    project = settings.get("project") if isinstance(settings, dict) else None
    if not isinstance(project, str) or not project:
        raise InvalidInputError(f"{str(path)!r} does not name its project", hint="write `project: name` into it")
    return project


def write_settings(project: str, online_url: str | None) -> bytes:
    """Write the settings of a repository on this machine.

    Parameters
    ----------
    project : str
        What to call the project.
    online_url : str or None
        The address of a Tiffin server that answers for single entities; None if Feast is to do so itself, from
        SQLite.

    Returns
    -------
    bytes
        YAML.
    """
    online = {"type": "sqlite", "path": "data/online_store.db"}
    if online_url is not None:
        online = {"type": "remote", "path": online_url}
    settings = {
        "project": project,
        "provider": "local",
        "registry": "data/registry.db",
        "online_store": online,
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    return bytes(_yaml().safe_dump(settings, sort_keys=False, allow_unicode=True, encoding="utf-8"))


def _yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise MissingDependency(
            "Feast repositories are set up in YAML; PyYAML is not installed", hint="pip install 'tiffin[feast]'"
        ) from error
