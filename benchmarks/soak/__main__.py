"""Soak a server: `python -m benchmarks.soak [--minutes 60] [--pace 1] [--json FILE]`; ends with 1 if not all holds.

A server of two workers with API keys, a client that asks it every kind of thing, a program that writes to the same
folder through the Python API, and one that uses the guides' classes: all for the whole time, at a fixed pace, whether
or not the calls before have ended. What grew or slowed from the second tenth of the time to the last does not hold.
`python -m benchmarks.soak.page` makes the page.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import psutil
from rich.console import Console
from rich.table import Table

import tiffin
from benchmarks.run import machine
from benchmarks.soak import beside, calls, driver, rows
from benchmarks.soak.judging import judge
from benchmarks.soak.measured import Probe, Sample, Soak, Taken, Window
from benchmarks.soak.samples import sample
from benchmarks.soak.shared import PATIENCE_S, TABLES, Board, Report, Shared
from benchmarks.soak.verdict import Judgement
from benchmarks.web import served
from tiffin.access.keys import keys_of

WORKERS = 2
_WIDTH = 160
_SETTINGS = f"""
keep_versions = {beside.KEPT}
checkpoint_every = 5
disk_cache_bytes = "8MiB"
memory_cache_bytes = "16MiB"
"""
"""Small bounds, so that all of them are reached in the first tenth of a run."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description="Load a server steadily: what grows or slows?")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pace", type=float, default=1.0, help="all rates times this")
    parser.add_argument("--json", type=Path, help="write the run there")
    chosen = parser.parse_args()
    # Told to end, it ends the server and the other programs too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    soak = run(chosen.minutes * 60, chosen.pace)
    if chosen.json:
        soak.write(chosen.json)
    judged = list(judge(soak))
    broken = [one for one in judged if not one.holds]
    if broken:
        Console(width=_WIDTH).print(_table(broken))
    for fault in soak.faults:
        print(fault)
    print(f"{len(judged) - len(broken)} of {len(judged)} figures hold; {soak.checked:,} checks of answers")
    sys.exit(1 if broken else 0)


def run(seconds: float, pace: float) -> Soak:
    """Soak for so long."""
    processes = multiprocessing.get_context("spawn")
    when, load = datetime.now(UTC), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store"
        key = _made(store)
        with (
            (folder / "errors").open("w") as errors,
            served(store, "--workers", str(WORKERS), errors=errors) as (url, server),
        ):
            shared = Shared(
                store=store, url=url, key=key, pace=pace, window_s=min(max(seconds / 120, 2), 10),
                board=Board(), begin=processes.Value("d", 0.0), stop=processes.Event(), quiet=processes.Event(),
                barrier=processes.Barrier(4), out=processes.Queue(),
            )  # fmt: skip
            for table in TABLES:
                shared.board.acknowledge(table, 1)
            probes: Queue[Probe] = processes.Queue()
            others = {
                "client": processes.Process(target=driver.drive, args=(shared, server.pid, probes), daemon=True),
                "writer": processes.Process(target=beside.write, args=(shared,), daemon=True),
                "guides' classes": processes.Process(target=beside.use, args=(shared,), daemon=True),
            }
            with _started(list(others.values())):
                samples, reports, found = _watch(shared, seconds, _family(server, others), others, probes)
        said = (folder / "errors").read_text().splitlines()
    wrong = Counter({"stale": 0, "torn": 0, "incomplete": 0, "lost": 0, "status": 0, "failed": 0, "left out": 0})
    for report in reports:
        wrong.update(report.wrong)
    wrong["lines in the server's error log"] = len(said)
    return Soak(
        when=when.isoformat(timespec="seconds"), seconds=seconds, load_before=load, load_after=os.getloadavg()[0],
        pace=pace, workers=WORKERS, machine=machine(), samples=samples, windows=_joined(reports, seconds), probes=found,
        wrong=wrong, checked=sum(report.checked for report in reports),
        faults=[fault for report in reports for fault in report.faults][:20] + [line[:500] for line in said[:10]],
    )  # fmt: skip


def _made(folder: Path) -> str:
    """Make the store with its first rows, and a key."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "tiffin.toml").write_text(_SETTINGS)
    with tiffin.FeatureStore(folder) as store:
        store.save(calls.WHOLE, rows.frame(range(calls.WHOLE_ROWS), 1), entity="id", online=True)
        store.save(calls.UPSERTED, rows.frame(range(calls.UPSERTED_ROWS), 1), entity="id")
        store.save(calls.APPENDED, rows.frame(range(calls.APPEND), 1))
        pushed = rows.frame(range(calls.PUSHED_ROWS), 1, at=rows.START)
        store.save(calls.PUSHED, pushed, entity="id", timestamp="at", online=True)
        bulk = rows.frame(range(beside.BULK_ROWS), 1, at=rows.START)
        store.save(calls.BULK, bulk, entity="id", timestamp="at")
        store.save(calls.BESIDE, rows.frame(range(beside.BESIDE_ROWS), 1), entity="id", online=True)
    return keys_of(folder).create("soak", ["read", "write", "admin"])[1]


@contextmanager
def _started(processes: Sequence[BaseProcess]) -> Iterator[None]:
    try:
        for process in processes:
            process.start()
        yield
        for process in processes:
            process.join(PATIENCE_S)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def _family(server: psutil.Process, others: dict[str, BaseProcess]) -> dict[str, psutil.Process]:
    children = [child for child in server.children(recursive=True) if child.num_threads() > 1]
    named = {"server": server} | {f"worker {number + 1}": child for number, child in enumerate(children)}
    return named | {name: psutil.Process(process.pid) for name, process in others.items()}


def _watch(
    shared: Shared,
    seconds: float,
    family: dict[str, psutil.Process],
    others: dict[str, BaseProcess],
    probes: Queue[Probe],
) -> tuple[list[Sample], list[Report], list[Probe]]:
    """Look at everything stretch by stretch; now and then let all come to rest, and look at what is left."""
    samples, reports, found = [], [], []
    every = max(round(min(max(seconds / 60, 6), 30) / shared.window_s), 1)
    shared.begin.value = time.monotonic() + 1
    shared.barrier.wait(PATIENCE_S)
    for number in range(1, round(seconds / shared.window_s) + 1):
        at_s = number * shared.window_s
        while (wait := shared.begin.value + at_s - time.monotonic()) > 0:
            time.sleep(min(wait, 1))
            if dead := [name for name, process in others.items() if not process.is_alive()]:
                raise SystemExit(f"ended before its time: {', '.join(dead)}")
        samples.append(sample(shared.store, family, shared.store.parent, at_s, is_at_rest=False))
        if number % every == 0:
            shared.quiet.set()
            shared.barrier.wait(PATIENCE_S)
            samples.append(sample(shared.store, family, shared.store.parent, at_s, is_at_rest=True))
            shared.quiet.clear()
            shared.barrier.wait(PATIENCE_S)
            shared.barrier.wait(PATIENCE_S)
            found.append(probes.get(timeout=PATIENCE_S))
        reports += _told(shared.out)
        if at_s % max(seconds / 10, 60) < shared.window_s:
            wrong = sum(sum(report.wrong.values()) for report in reports)
            print(f"{at_s / 60:.1f} of {seconds / 60:.1f} minutes, {wrong} wrong or failed so far", flush=True)
    shared.stop.set()
    for process in others.values():
        while process.is_alive():
            reports += _told(shared.out)
    return samples, reports + _told(shared.out), found


def _told(out: Queue[Report]) -> list[Report]:
    """Take what the processes have told, so that they never wait for it to be taken."""
    reports = []
    while True:
        try:
            reports.append(out.get(timeout=0.1))
        except Empty:
            return reports


def _joined(reports: Sequence[Report], seconds: float) -> list[Window]:
    """Put the stretches of all processes together."""
    kinds: dict[float, dict[str, Taken]] = {}
    for report in reports:
        kinds.setdefault(report.window.at_s, {}).update(report.window.kinds)
    return [Window(at_s, kinds[at_s]) for at_s in sorted(kinds) if at_s <= seconds]


def _table(broken: Sequence[Judgement]) -> Table:
    table = Table(title="What does not hold, by the second tenth of the time and the last", title_justify="left")
    for heading in ("figure", "of", "second tenth", "last tenth", "change", "bound"):
        table.add_column(heading)
    for one in broken:
        before, after = (f"{value:,.3g} {one.unit}".strip() for value in (one.before, one.after))
        table.add_row(one.what, one.of, before, after, one.told, one.bound)
    return table


if __name__ == "__main__":
    main()
