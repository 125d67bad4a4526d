"""What the fault tests share: disks so small that they can be filled."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small file system in memory."""
    mounted: list[Path] = []

    def mount(options: str, at: Path | None = None) -> Path:
        if os.geteuid() != 0:
            pytest.skip("NO FULL DISK WAS TRIED: mounting a file system needs root")
        folder = at or tmp_path / f"mounted-{len(mounted)}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            pytest.skip(f"NO FULL DISK WAS TRIED: no tmpfs can be mounted here: {getattr(error, 'stderr', error)}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
