"""How long it takes to start: importing the package, asking for help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.measure import Result, alternately, ratio, shown


def run(*, quick: bool) -> Iterator[Result]:
    rounds = 5 if quick else 15

    def python(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    bare, imported, used, floor, helped = alternately(
        rounds,
        lambda: python("-c", "pass"),
        lambda: python("-c", "import tiffin"),
        lambda: python("-c", "import tiffin; tiffin.FeatureStore"),
        lambda: python("-c", "import polars"),
        lambda: python("-m", "tiffin", "--help"),
    )
    for case, times, goal in (
        ("import tiffin", imported, 0.25),
        ("tiffin --help", helped, 0.4),
    ):
        yield Result(
            "start", case, shown(median(times)), f"python alone {shown(median(bare))}", "", f"≤ {shown(goal)}",
            median(times) <= goal,
        )  # fmt: skip
    yield Result(
        "start", "tiffin.FeatureStore, first used", shown(median(used)), f"import polars {shown(median(floor))}",
        f"{ratio(used, floor):.2f}", "", True)  # fmt: skip
