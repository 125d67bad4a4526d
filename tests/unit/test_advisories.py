"""Versions of what we build on that have known faults are kept out: by what we declare, and by what we install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# Library, the first version without the fault, and where to read about it. The newest of each library suffices.
ADVISORIES = [
    ("h11", "0.16.0", "CVE-2025-43859: chunked bodies that hide a request"),
    ("pyarrow", "23.0.1", "CVE-2026-25087: use after free in IPC files; CVE-2023-47248 (14.0.1): code from files"),
    ("pyyaml", "5.4", "CVE-2020-14343: code from documents"),
    ("redis", "4.5.4", "CVE-2023-28858 and -28859: answers to others"),
    ("starlette", "1.3.1", "CVE-2026-48710, -54282, -54283; CVE-2025-62727 (0.49.1): quadratic time by a header"),
    ("urllib3", "2.6.3", "CVE-2026-21441, CVE-2025-66418 and -66471: answers that grow without end"),
]


def declared() -> dict[str, Requirement]:
    """Return what pyproject.toml asks for, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return {canonicalize_name(found.name): found for found in map(Requirement, texts)}


def pinned() -> dict[str, Version]:
    """Return what constraints.txt installs, by name."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize(("library", "first_good", "about"), ADVISORIES, ids=[name for name, *_ in ADVISORIES])
def test_no_version_with_a_known_fault_is_let_in(library, first_good, about):
    assert pinned()[library] >= Version(first_good), about
    if library in declared():
        lowest = re.search(r">=([^,]+)", str(declared()[library].specifier))
        assert lowest, f"{library} is asked for in any version"
        assert Version(lowest[1]) >= Version(first_good), about


def test_all_that_is_served_with_is_among_what_is_declared():
    # Without a bound of our own, an old one would do for FastAPI.
    assert {"starlette", "uvicorn", "pyarrow", "pyyaml", "redis"} <= declared().keys()


def test_every_library_that_is_declared_is_pinned():
    assert {name for name in declared() if name != "tiffin"} <= pinned().keys()
