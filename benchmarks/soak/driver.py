"""The program that asks the server: each kind of call at a pace of its own, whether or not the one before has ended."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import AsyncExitStack
from multiprocessing.queues import Queue
from statistics import median

import psutil

import tiffin
from benchmarks.soak import reference
from benchmarks.soak.calls import Calls, Kind
from benchmarks.soak.measured import Probe
from benchmarks.soak.samples import processor_s
from benchmarks.soak.shared import PATIENCE_S, Recorder, Shared, later, schedule

_MOST_AT_ONCE = 2_000
"""Calls of one kind; what is due beyond is left out, and counted."""
_CLIENTS, _CONNECTIONS = 8, 2
_PAUSE_S = 0.02


def drive(shared: Shared, server: int, probes: Queue[Probe]) -> None:
    """Ask until all is to stop; `probes` is a queue that gets what each kind takes when nothing else goes on."""
    asyncio.run(_drive(shared, psutil.Process(server), probes))


async def _drive(shared: Shared, server: psutil.Process, probes: Queue[Probe]) -> None:
    recorder = Recorder(shared, "client")
    # What is not expected of a call ends the group, and with it the run.
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
        made = [
            tiffin.AsyncFeatureStoreClient(shared.url, key=shared.key, retries=0, connections=_CONNECTIONS)
            for _ in range(_CLIENTS)
        ]
        kinds = Calls(shared, [await opened.enter_async_context(one) for one in made], recorder).kinds()
        under_way: dict[str, set[asyncio.Task[None]]] = {kind.name: set() for kind in kinds}
        family = [server.pid, *(child.pid for child in server.children(recursive=True))]
        shared.barrier.wait(180)
        due = schedule([kind.per_s * shared.pace for kind in kinds])
        while not shared.stop.is_set():
            recorder.tick()
            if shared.quiet.is_set():
                start = time.monotonic()
                await _ended(under_way)
                shared.barrier.wait(PATIENCE_S)
                shared.barrier.wait(PATIENCE_S)
                probes.put(await _probe(shared, kinds, recorder, family))
                shared.barrier.wait(PATIENCE_S)
                due = later(due, time.monotonic() - start)
            now = time.monotonic()
            while due[0][0] <= now:
                at, number = due[0]
                kind = kinds[number]
                heapq.heapreplace(due, (at + 1 / (kind.per_s * shared.pace), number))
                _begin(kind, group, under_way[kind.name], recorder)
            await asyncio.sleep(min(due[0][0] - now, _PAUSE_S))
        await _ended(under_way)
    recorder.tick(is_last=True)


def _begin(kind: Kind, group: asyncio.TaskGroup, under_way: set[asyncio.Task[None]], recorder: Recorder) -> None:
    if len(under_way) >= _MOST_AT_ONCE:
        recorder.left_out(kind.name)
        return

    async def timed() -> None:
        with recorder.timed(kind.name):
            await kind.do()

    task = group.create_task(timed())
    under_way.add(task)
    task.add_done_callback(under_way.discard)


async def _ended(under_way: Mapping[str, Set[asyncio.Task[None]]]) -> None:
    if left := [task for tasks in under_way.values() for task in tasks]:
        await asyncio.wait(left)


async def _probe(shared: Shared, kinds: Sequence[Kind], recorder: Recorder, server: Sequence[int]) -> Probe:
    """Do each kind alone a few times, one after another, and note what the server's processes use for it."""
    at_s = time.monotonic() - shared.begin.value
    (wall, used), sync = reference.work(), reference.sync(shared.store.parent)
    middle, processor = {}, {}
    for kind in kinds:
        if not kind.alone:
            continue
        taken, before = [], sum(map(processor_s, server))
        for _ in range(kind.alone):
            start = time.perf_counter()
            with recorder.timed(f"alone: {kind.name}"):
                await kind.do()
            taken.append((time.perf_counter() - start) * 1e3)
        middle[kind.name] = median(taken)
        processor[kind.name] = (sum(map(processor_s, server)) - before) / kind.alone * 1e3
    return Probe(at_s, middle, processor, wall * 1e3, used * 1e3, sync * 1e3)
