"""pandas and PyArrow, imported when a frame of theirs is first asked for."""

from __future__ import annotations

import importlib
from typing import Any

from tiffin.errors import MissingDependency


def pandas() -> Any:
    """Import pandas, or say how to install it."""
    return _load("pandas", "tiffin[pandas]")


def pyarrow() -> Any:
    """Import PyArrow, or say how to install it."""
    return _load("pyarrow", "pyarrow")


def _load(module: str, requirement: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"this needs {module}, which is not installed", hint=f"pip install '{requirement}'", module=module
        ) from error
