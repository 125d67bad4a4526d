"""Write the page of a run: `python -m benchmarks.page RUN.json [--to FOLDER]`.

Every figure on it is of that run. A missed goal without a reason (`reasons.toml`) is an error; only of a quick run,
whose cases are smaller than those that the goals are for, the page does without, and says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import plots, reasons
from benchmarks.measure import SLOWER, Growth, Result
from benchmarks.reasons import Miss, Reason, UnexplainedMiss
from benchmarks.run import Run, read

DOCS = Path(__file__).parents[1] / "docs"
CRITERIA, BESIDE, GROWTH = "criteria", "beside", "growth"
TITLES = {
    CRITERIA: "What the guides ask for",
    "starting": "Starting",
    "features": "Movie features",
    "saving": "Saving and reading",
    "caching": "Caches",
    "sizes": "Size on disk",
    "versions": "Ten thousand versions",
    "joining": "Training frames",
    "serving": "Online, in process",
    "http": "Over HTTP",
    "constraints": "Constraints",
    "profiling": "Profiles",
    BESIDE: "Beside what you would use instead",
    GROWTH: "How costs grow",
}
"""The parts of the benchmarks, in the page's order."""
NOTES = {
    CRITERIA: "Floors that the guides set, reached through their own classes and routes.",
    BESIDE: (
        "The same data, in turns; medians of the rounds, and their ratio. Polars, DuckDB and pandas are a few lines by "
        "hand on the file that the store wrote, and know nothing of versions, ttl or ties. Feast has an environment "
        "and a process of its own and times itself: a file registry, one feature view over the same file, a ttl of a "
        "hundred years. "
        "Where its frame has fewer rows than were asked for, that stands beside its time. Redis keeps nothing on disk, "
        "and is on the same machine. A push of ours is also a synced version of the table; Feast's is of the online "
        "store alone. Feast's feature server stands under [Over HTTP](#over-http).\n\n"
        "Not measured: gamma-lake 0.2.0, which aligns its tables to an index of its own, and in which we found no way "
        "to join a frame that the caller brings; kitefs 0.3.0a0, which could not be installed on Python 3.11."
    ),
    GROWTH: (
        "Each point is the least of some rounds in which all sizes took turns; the exponent is the slope of the line "
        "fitted by least squares on both-logarithmic axes. At 1, ten times the size costs ten times as much; at 0, no "
        "more. What has to look at everything should stay below 1.1, what must not depend on the size below 0.15."
    ),
}
"""What is to be known of a part's figures."""


def write(run: Run, known: Sequence[Reason], folder: Path) -> Path:
    """Write the page and its pictures.

    Parameters
    ----------
    run : Run
        What was measured.
    known : sequence of Reason
        Why goals are missed.
    folder : Path
        Gets `benchmarks.md`, and `benchmarks/` with the pictures.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UnexplainedMiss
        A goal is missed and no reason is known; nothing is written. A quick run needs none.
    """
    misses = _misses(run, known)
    pictures = dict(_pictures(run.results))
    page = "\n".join([*_head(run), *_verdict(run, misses), *_parts(run.results, pictures)]).rstrip() + "\n"
    (folder / "benchmarks").mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / "benchmarks" / f"{name}.svg").write_text(picture, encoding="utf-8")
    (folder / "benchmarks.md").write_text(page, encoding="utf-8")
    return folder / "benchmarks.md"


def _misses(run: Run, known: Sequence[Reason]) -> list[Miss]:
    if run.quick:
        known = [*known, *(Reason(part, "*", "*", "Not looked into: a quick run.") for part in run.results)]
    return reasons.explain(run.results, known)


def _head(run: Run) -> Iterator[str]:
    machine = run.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    yield "# Benchmarks\n"
    if run.quick:
        yield "**A quick run: the cases are smaller than those that the goals are for, and the rounds fewer.**\n"
    yield (
        "Written by `python -m benchmarks.page` from the run of one command; nothing is edited by hand. The sides of a "
        "case take turns, round by round, on the same data, so that a noisy machine disturbs all alike. Run it where "
        "you are: `make bench` (all), `make bench-quick` (small).\n"
    )
    yield (
        f"Measured {run.when[:10]}, in {run.seconds / 60:.0f} minutes, on {machine.cores} cores and "
        f"{machine.memory_gb:.0f} GB of memory, {machine.system}, Python {machine.python}; load {run.load_before:g} "
        f"before and {run.load_after:g} after. {libraries}.\n"
    )


def _verdict(run: Run, misses: Sequence[Miss]) -> Iterator[str]:
    goals = sum(bool(one.goal) for several in run.results.values() for one in several)
    yield f"**{goals - len(misses)} of {goals} goals are met.**{' The misses:' if misses else ''}\n"
    if misses:
        yield from table(
            ("missed", "goal", "measured", "why"),
            [(f"{TITLES[part]}: {case}", one.goal, one.measured, why) for part, case, one, why in misses],
        )
    compared = [one for one in run.results.get(BESIDE, ()) if one.seconds]
    if compared:
        lost = [f"{one.case} ({one.beside.partition(':')[0]})" for one in compared if _is_loss(one)]
        yield (
            f"Beside what you would use instead, Tiffin is slower in {len(lost)} of {len(compared)} comparisons"
            f"{': ' + '; '.join(lost) if lost else ''}.\n"
        )
    if left_out := [title for name, title in TITLES.items() if name not in run.results]:
        yield f"Not measured in this run: {', '.join(left_out)}.\n"


def _parts(results: Mapping[str, Sequence[Result]], pictures: Mapping[str, str]) -> Iterator[str]:
    for part, title in TITLES.items():
        if part not in results:
            continue
        yield f"## {title}\n"
        if part in NOTES:
            yield f"{NOTES[part]}\n"
        if part in pictures:
            yield f"![{title}](benchmarks/{part}.svg)\n"
        rows = [(one.title(part), one.ours, one.beside, one.ratio, one.goal, _mark(one)) for one in results[part]]
        yield from table(("case", "Tiffin", "beside", "ratio", "goal", ""), rows)


def _mark(result: Result) -> str:
    if not result.met:
        return "**missed**"
    if _is_loss(result):
        return "**slower**"
    return "met" if result.goal else ""


def _is_loss(result: Result) -> bool:
    return result.ratio.endswith(SLOWER)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def _pictures(results: Mapping[str, Sequence[Result]]) -> Iterator[tuple[str, str]]:
    sides: dict[str, dict[str, float]] = {}
    for result in results.get(BESIDE, ()):
        sides.setdefault(result.case, {}).update(result.seconds)
    if any(sides.values()):
        yield BESIDE, plots.dots({case: seconds for case, seconds in sides.items() if seconds})
    growths: dict[str, dict[str, Growth]] = {}
    for result in results.get(GROWTH, ()):
        if result.growth:
            growths.setdefault(f"over {result.growth.over}", {})[result.what] = result.growth
    if growths:
        yield GROWTH, plots.lines(growths)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.page", description="Write the page of a run of the benchmarks.")
    parser.add_argument("run", type=Path, help="what `python -m benchmarks --json RUN` has written")
    parser.add_argument("--to", type=Path, default=DOCS, help="folder for the page and its pictures (docs/)")
    chosen = parser.parse_args()
    try:
        print(write(read(chosen.run), reasons.load(), chosen.to))
    except UnexplainedMiss as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
