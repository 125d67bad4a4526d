"""Write the page of a soak: `python -m benchmarks.soak.page SOAK.json [--load LOAD.json] [--to FOLDER]`.

Every figure on it is of those runs; nothing is edited by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import plots, reasons
from benchmarks.load import Rise
from benchmarks.page import DOCS, table
from benchmarks.reasons import Reason
from benchmarks.soak.judging import judge
from benchmarks.soak.measured import Sample, Soak, read
from benchmarks.soak.verdict import Judgement, Point

LONG_S = 3600
_DRAWN = ("online, 1", "online, 100", "page of 1,000, JSON", "training frame of 1,000", "save, append 20", "push of 5")


def write(soak: Soak, load: Rise | None, folder: Path, known: Sequence[Reason] = ()) -> Path:
    """Write the page and its pictures.

    Parameters
    ----------
    soak : Soak
        What was measured.
    load : Rise, optional
        What was measured with more and more connections.
    folder : Path
        Gets `soak.md`, and `soak/` with the pictures.
    known : sequence of Reason
        Why figures do not hold; one that none fits is said not to be explained.

    Returns
    -------
    Path
        The page.
    """
    pictures = _pictures(soak)
    judged = list(judge(soak))
    parts = [*_head(soak), *_verdict(judged, known), *_drawn(pictures), *_figures(judged), *_calls(soak), *_rise(load)]
    (folder / "soak").mkdir(parents=True, exist_ok=True)
    for name, (_, picture) in pictures.items():
        (folder / "soak" / f"{name}.svg").write_text(picture, encoding="utf-8")
    (folder / "soak.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return folder / "soak.md"


def _head(soak: Soak) -> Iterator[str]:
    machine, minutes = soak.machine, f"{soak.seconds / 60:.3g} minutes"
    kinds = {kind for window in soak.windows for kind in window.kinds if not kind.startswith("alone: ")}
    calls = sum(taken.count for window in soak.windows for taken in window.kinds.values())
    yield "# Load and soak\n"
    if soak.seconds < LONG_S:
        yield (
            f"**A short run, of {minutes}: too short for what grows slowly, and its tenths are too short to tell "
            "slowing from a busy machine. `make soak` takes an hour.**\n"
        )
    yield (
        "Written by `python -m benchmarks.soak.page` from a run of `make soak`; nothing is edited by hand. A server "
        f"with {soak.workers} workers and API keys is asked by one client; a second program writes to the same folder "
        "through the Python API, and a third saves and loads pandas frames through the guides' classes. All go on for "
        "the whole time, at a fixed pace, whether or not the calls before have ended. The caches are small, and the "
        "disk cache is smaller than the data; old versions are vacuumed by themselves. Rows carry the number of the "
        "save that wrote them, twice: every answer is checked against what had been acknowledged, or seen by anyone, "
        "when it was asked for.\n"
    )
    yield (
        f"Measured {soak.when[:10]}, for {minutes}, on {machine.cores} cores and {machine.memory_gb:.0f} GB of "
        f"memory, {machine.system}, Python {machine.python}; load {soak.load_before:.2g} before and "
        f"{soak.load_after:.2g} after. **{calls:,} calls of {len(kinds)} kinds**, {soak.checked:,} checks of what they "
        f"answered; all programs together used {_processor_share(soak):.0%} of one core.\n"
    )


def _processor_share(soak: Soak) -> float:
    first, last = soak.samples[0], soak.samples[-1]
    used = sum(last.processes[name].processor_s - one.processor_s for name, one in first.processes.items())
    return used / max(last.at_s - first.at_s, 1e-9)


def _verdict(judged: Sequence[Judgement], known: Sequence[Reason]) -> Iterator[str]:
    broken = [one for one in judged if not one.holds]
    yield f"**{len(judged) - len(broken)} of {len(judged)} figures hold.**{' These do not:' if broken else ''}\n"
    if broken:
        yield from table(
            ("figure", "of", "second tenth", "last tenth", "change", "bound", "why"),
            [(one.what, one.of, *_ends(one), one.told, one.bound, _why(one, known)) for one in broken],
        )


def _why(one: Judgement, known: Sequence[Reason]) -> str:
    said = [reason.text for reason in known if reason.is_of("soak", f"{one.what}: {one.of}", one.bound)]
    return said[0] if said else "not explained"


def _pictures(soak: Soak) -> dict[str, tuple[str, str]]:
    """Draw them: by name, what is drawn, and the drawing."""
    rests = [sample for sample in soak.samples if sample.is_at_rest] or list(soak.samples)
    names, parts = list(soak.samples[0].processes), list(soak.samples[0].disk_mb)
    kinds = {
        kind: [(window.at_s, window.kinds[kind].p50_ms) for window in soak.windows if kind in window.kinds]
        for kind in _DRAWN
        if any(kind in window.kinds for window in soak.windows)
    }
    work = [(sample.at_s, sample.work_ms) for sample in soak.samples if not sample.is_at_rest]
    drawn = {
        "memory": ("Memory of their own (USS)", "MB", _lines(rests, names, "uss_mb")),
        "files": ("Open files", "", _lines(rests, names, "files")),
        "threads": ("Threads", "", _lines(rests, names, "threads")),
        "disk": (
            "Disk", "MB",
            {part: [(one.at_s, one.disk_mb.get(part, 0.0)) for one in soak.samples] for part in parts},
        ),
        "latency": ("Latency in the middle (p50), logarithmic", "ms", {**kinds, "the reference, fixed work": work}),
    }  # fmt: skip
    return {
        name: (title, plots.over_time(title, unit, lines, is_logarithmic=name == "latency"))
        for name, (title, unit, lines) in drawn.items()
    }


def _lines(samples: Sequence[Sample], names: Sequence[str], field: str) -> dict[str, list[Point]]:
    return {name: [Point(one.at_s, getattr(one.processes[name], field)) for one in samples] for name in names}


def _drawn(pictures: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield "## Over time\n"
    for name, (title, _) in pictures.items():
        yield f"![{title}](soak/{name}.svg)\n"


def _figures(judged: Sequence[Judgement]) -> Iterator[str]:
    yield "## What was judged\n"
    yield (
        "The second tenth of the time beside the last: the first is for warming up. Memory and disk by the line of "
        "least squares through all after the first tenth. Open files and threads at moments when no call was under "
        "way: they have grown if the fewest in the last tenth are more than the most in the second. What has a most "
        "by design is held to that: the audit log, which is rotated, and the threads of Polars' pool for files, which "
        "keeps as many as were ever busy at once. Speed by the "
        "medians: under the pace, and of each kind alone, now and then, while all else rests. At the same moments a "
        "fixed piece of work is timed, and for what saves some synced pages as well: a busy neighbour slows the "
        "reference too. A call has slowed if it has both raw and beside the reference, and by more than chance "
        "explains (95 % bootstrap interval).\n"
    )
    # Stable: figures of one kind stay in their order.
    first = {what: number for number, what in reversed(list(enumerate(one.what for one in judged)))}
    for what, several in groupby(sorted(judged, key=lambda one: first[one.what]), key=lambda one: one.what):
        yield f"### {what[0].upper()}{what[1:]}\n"
        rows = [(one.of, *_ends(one), one.told, one.bound, "holds" if one.holds else "**broken**") for one in several]
        yield from table(("of", "second tenth", "last tenth", "change", "bound", ""), rows)


def _ends(one: Judgement) -> tuple[str, str]:
    before, after = (f"{value:,.3g} {one.unit}".rstrip() for value in (one.before, one.after))
    return before, after


def _calls(soak: Soak) -> Iterator[str]:
    """Tell of each kind how many calls there were, and the middle of its stretches' percentiles."""
    yield "## The calls\n"
    yield "Medians over the run of what each stretch of time measured.\n"
    rows = []
    for kind in sorted({kind for window in soak.windows for kind in window.kinds}):
        taken = [window.kinds[kind] for window in soak.windows if kind in window.kinds]
        there = [one for one in taken if one.count]
        shown = [
            f"{median([getattr(one, field) for one in there] or [0.0]):.3g} ms"
            for field in ("p50_ms", "p95_ms", "p99_ms")
        ]
        rows.append((kind, f"{sum(one.count for one in taken):,}", f"{sum(one.errors for one in taken)}", *shown))
    yield from table(("call", "calls", "errors", "p50", "p95", "p99"), rows)


def _rise(load: Rise | None) -> Iterator[str]:
    if load is None:
        return
    yield "## Rising load\n"
    yield (
        f"`make load`, measured {load.when[:10]} on {load.machine.cores} cores and {load.machine.memory_gb:.0f} GB of "
        f"memory. {load.mix} The load is made by wrk on the same machine: server and client share its cores.\n"
    )
    rows = [
        (
            f"{step.connections}",
            f"{step.per_s:,.0f}",
            f"{step.p50_ms:.3g} ms",
            f"{step.p99_ms:.3g} ms",
            f"{step.errors}",
        )
        for step in load.steps
    ]
    yield from table(("connections", "requests/s", "p50", "p99", "errors"), rows)
    yield f"{load.told()}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.soak.page", description="Write the page of a soak.")
    parser.add_argument("soak", type=Path, help="what `python -m benchmarks.soak --json SOAK` has written")
    parser.add_argument(
        "--load", type=Path, help="what `python -m benchmarks.load --json LOAD` has written, if it is there"
    )
    parser.add_argument("--to", type=Path, default=DOCS, help="folder for the page and its pictures (docs/)")
    chosen = parser.parse_args()
    there = chosen.load is not None and chosen.load.exists()
    load = msgspec.json.decode(chosen.load.read_bytes(), type=Rise) if there else None
    print(write(read(chosen.soak), load, chosen.to, reasons.load()))


if __name__ == "__main__":
    main()
