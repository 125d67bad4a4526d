"""What ten thousand saves of one table cost: the last hundred beside saves 10 to 110, opening it, and the disk.

The table with the long history and one with a short history take turns, so that both meet the same machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import tiffin
from benchmarks.measure import Result, alternately, shown
from benchmarks.saving import frame


def run(*, quick: bool) -> Iterator[Result]:
    saves = 300 if quick else 10_000
    for mode, keep in (("overwrite", 200), ("overwrite", None), ("append", 200)):
        with tempfile.TemporaryDirectory() as folder:
            yield from _saves(Path(folder), saves, mode, keep)


def _saves(folder: Path, saves: int, mode: str, keep: int | None) -> Iterator[Result]:
    data = frame(100, 4)
    long, short = (tiffin.FeatureStore(folder / name, keep_versions=keep) for name in ("long", "short"))
    for _ in range(saves - 101):
        long.save("g/t", data, mode=mode)
    for _ in range(9):
        short.save("g/t", data, mode=mode)
    last, first = alternately(
        100, lambda: long.save("g/t", data, mode=mode), lambda: short.save("g/t", data, mode=mode)
    )
    kept = "all versions" if keep is None else f"{keep} versions kept"
    case = f"{saves:,} saves ({mode}, {kept})"
    ratio = sum(last) / sum(first)
    yield Result(
        "versions", case, f"last 100: {shown(sum(last) / 100)} each", f"saves 10–110: {shown(sum(first) / 100)} each",
        f"{ratio:.2f} (medians {median(last) / median(first):.2f})", "≤ 1.5", ratio <= 1.5,
    )  # fmt: skip
    yield _opening(long.path, case)
    used = sum(file.stat().st_size for file in long.path.rglob("*") if file.is_file())
    held = len(list((long.path / "features/g/t/_delta_log").glob("*.json")))
    bound = "none set" if keep is None else f"≤ {keep + 100} versions"
    newest = long.describe("g/t").size_bytes
    yield Result(
        "versions", f"disk after {case}", f"{used / 1e6:.1f} MB", f"newest {newest / 1e3:.0f} kB", f"{held} versions",
        bound, keep is None or held <= keep + 100,
    )  # fmt: skip


def _opening(path: Path, case: str) -> Result:
    (opening,) = alternately(15, lambda: tiffin.FeatureStore(path).describe("g/t"))
    return Result("versions", f"open after {case}", shown(median(opening)), "", "", "≤ 30 ms", median(opening) <= 0.03)
