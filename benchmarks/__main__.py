"""Run the benchmarks: `python -m benchmarks [--quick] [--large] [--only PART …] [--movies FILE] [--json FILE]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import (
    beside,
    beside_a_writer,
    caching,
    constraints,
    criteria,
    features,
    growing,
    joining,
    over_http,
    profiling,
    saving,
    serving,
    sizes,
    starting,
    versions,
)
from benchmarks.measure import Result
from benchmarks.run import Clock

Part = Callable[[argparse.Namespace], Iterator[Result]]
PARTS: dict[str, Part] = {
    # First, while little has been loaded: these two look at how memory grows.
    "criteria": lambda chosen: criteria.run(quick=chosen.quick, movies=chosen.movies),
    "features": lambda chosen: features.run(quick=chosen.quick, movies=chosen.movies),
    "starting": lambda chosen: starting.run(quick=chosen.quick),
    "saving": lambda chosen: saving.run(quick=chosen.quick),
    "caching": lambda chosen: caching.run(quick=chosen.quick),
    "sizes": lambda chosen: sizes.run(movies=chosen.movies),
    "joining": lambda chosen: joining.run(quick=chosen.quick, large=chosen.large),
    "serving": lambda chosen: serving.run(quick=chosen.quick),
    "constraints": lambda chosen: constraints.run(quick=chosen.quick),
    "versions": lambda chosen: versions.run(quick=chosen.quick),
    "profiling": lambda chosen: profiling.run(quick=chosen.quick),
    "http": lambda chosen: chain(over_http.run(quick=chosen.quick), beside_a_writer.run(quick=chosen.quick)),
    "beside": lambda chosen: beside.run(quick=chosen.quick),
    "growth": lambda chosen: growing.run(quick=chosen.quick),
}


def main() -> None:
    chosen = _arguments()
    console, clock = Console(), Clock()
    results: dict[str, list[Result]] = {}
    for part in chosen.only or PARTS:
        with console.status(part) as status:
            results[part] = []
            for result in PARTS[part](chosen):
                results[part].append(result)
                status.update(f"{part}: {len(results[part])} measured, last {result.title(part)}")
        console.print(_table(part, results[part]))
        run = clock.stop(results, quick=chosen.quick)
        if chosen.json:
            # After every part, so that what stops a later one loses none.
            run.write(chosen.json)
    machine = run.machine
    console.print(
        f"{machine.cores} cores, {machine.memory_gb:.0f} GB, Python {machine.python}; load {run.load_before:g} before "
        f"and {run.load_after:g} after; {run.seconds:,.0f} s; sides measured alternately"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure the speeds, each beside its goal.")
    parser.add_argument("--quick", action="store_true", help="smaller cases, a minute or two")
    parser.add_argument("--large", action="store_true", help="also a join with 100 M rows, which takes minutes to make")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--movies", type=Path, help="real movies (JSON lines, gzipped) for features and sizes")
    parser.add_argument("--json", type=Path, help="write the run there; `python -m benchmarks.page` makes a page of it")
    return parser.parse_args()


def _table(part: str, results: list[Result]) -> Table:
    table = Table(title=part, title_justify="left")
    for heading in ("case", "Tiffin", "beside", "ratio", "goal", ""):
        table.add_column(heading)
    for one in results:
        mark = "[red]missed[/]" if not one.met else "[green]met[/]" if one.goal else ""
        table.add_row(one.title(part), one.ours, one.beside, one.ratio, one.goal, mark)
    return table


if __name__ == "__main__":
    main()
