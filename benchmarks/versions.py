"""What ten thousand saves of one table cost: the last against the first, opening it, and the disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import tiffin
from benchmarks.measure import Result, shown
from benchmarks.saving import frame


def run(*, quick: bool) -> Iterator[Result]:
    saves = 1_000 if quick else 10_000
    for mode, keep in (("overwrite", 200), ("overwrite", None), ("append", 200)):
        with tempfile.TemporaryDirectory() as folder:
            yield from _saves(Path(folder) / "store", saves, mode, keep)


def _saves(path: Path, saves: int, mode: str, keep: int | None) -> Iterator[Result]:
    data = frame(100, 4)
    store = tiffin.FeatureStore(path, keep_versions=keep)
    taken = []
    for _ in range(saves):
        start = time.perf_counter()
        store.save("g/t", data, mode=mode)
        taken.append(time.perf_counter() - start)
    first, last = sum(taken[10:110]), sum(taken[-100:])
    kept = "all versions" if keep is None else f"{keep} versions kept"
    case = f"{saves:,} saves ({mode}, {kept})"
    middle = median(taken[-100:]) / median(taken[10:110])
    yield Result(
        "versions", case, f"last 100: {shown(last / 100)} each", f"saves 10–110: {shown(first / 100)} each",
        f"{last / first:.2f} (medians {middle:.2f})", "≤ 1.5", last / first <= 1.5,
    )  # fmt: skip
    opening = []
    for _ in range(15):
        start = time.perf_counter()
        tiffin.FeatureStore(path).describe("g/t")
        opening.append(time.perf_counter() - start)
    yield Result("versions", f"open after {case}", shown(median(opening)), "", "", "≤ 30 ms", median(opening) <= 0.030)
    used = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    live = store.describe("g/t").size_bytes
    bound = "none set" if keep is None else f"{keep + 100 + 1} versions"
    files = len(list((path / "features/g/t").glob("*.parquet")))
    held = len(list((path / "features/g/t/_delta_log").glob("*.json")))
    met = keep is None or held <= keep + 101
    yield Result(
        "versions", f"disk after {case}", f"{used / 1e6:.1f} MB, {files} files", f"newest version {live / 1e6:.2f} MB",
        f"{held} versions", bound, met,
    )  # fmt: skip
