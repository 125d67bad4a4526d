"""Run the benchmarks: `python -m benchmarks [--quick] [--large] [--only GROUP] [--movies FILE] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import caching, features, joining, over_http, saving, serving, sizes, starting, versions
from benchmarks.measure import Result


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure the speeds, each beside its goal.")
    parser.add_argument("--quick", action="store_true", help="smaller cases, about a minute")
    parser.add_argument("--large", action="store_true", help="also a join with 100 M rows, which takes minutes to make")
    parser.add_argument("--only", help="starting, features, saving, caching, sizes, joining, serving, versions or http")
    parser.add_argument("--movies", type=Path, help="real movies (JSON lines, gzipped) for features and sizes")
    parser.add_argument("--json", type=Path, help="write the results there too")
    chosen = parser.parse_args()
    groups: dict[str, Callable[[], Iterator[Result]]] = {
        "starting": lambda: starting.run(quick=chosen.quick),
        "features": lambda: features.run(quick=chosen.quick, movies=chosen.movies),
        "saving": lambda: saving.run(quick=chosen.quick),
        "caching": lambda: caching.run(quick=chosen.quick),
        "sizes": lambda: sizes.run(movies=chosen.movies),
        "joining": lambda: joining.run(quick=chosen.quick, large=chosen.large),
        "serving": lambda: serving.run(quick=chosen.quick),
        "versions": lambda: versions.run(quick=chosen.quick),
        "http": lambda: over_http.run(quick=chosen.quick),
    }
    console = Console()
    console.print(f"{os.cpu_count()} cores, Python {platform.python_version()}; medians, sides measured alternately")
    results = []
    for name, group in groups.items():
        if chosen.only in (None, name):
            table = Table(title=name, title_justify="left")
            for heading in ("case", "Tiffin", "beside", "ratio", "goal", ""):
                table.add_column(heading)
            for result in group():
                results.append(result)
                mark = "[green]met[/]" if result.met else "[red]missed[/]"
                table.add_row(result.case, result.ours, result.beside, result.ratio, result.goal, mark)
            console.print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps([result.as_dict() for result in results], indent=1))


main()
