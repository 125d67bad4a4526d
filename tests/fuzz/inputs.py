"""Which targets there are, and the inputs in the tree: seeds, and what once crashed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = sorted(path.stem for path in (HERE / "targets").glob("*.py"))
KINDS = ("seeds", "regressions")
MOST_BYTES = 4096
"""How long inputs get where a target does not say otherwise."""


def folders(target: str) -> list[Path]:
    """Return the folders that have inputs for a target."""
    return [folder for kind in KINDS if (folder := HERE / kind / target).is_dir()]


def inputs(target: str) -> list[Path]:
    """List the inputs in the tree for a target."""
    return sorted(path for folder in folders(target) for path in folder.iterdir())


def most_bytes(target: str) -> int:
    """Tell how long inputs for a target get."""
    return getattr(import_module(f"fuzz.targets.{target}"), "MOST_BYTES", MOST_BYTES)
