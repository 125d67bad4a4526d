"""What a soak is judged by: memory, files, threads, disk, speed, and answers that were wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.soak.measured import Probe, Sample, Soak
from benchmarks.soak.verdict import (
    DISK_MB,
    DISK_SHARE,
    MEMORY_MB,
    MEMORY_SHARE,
    Judgement,
    Point,
    bounded,
    counted,
    grown,
    slowed,
    zero,
)
from tiffin.server.edge.logs import AUDIT_BYTES, AUDIT_FILES

SYNCS = 8
POOL_THREADS = 512 + 32
"""Polars makes so many at most, unless told otherwise: for work that waits, and for what goes on meanwhile."""
_SAVING = ("save", "push", "tag")


def judge(soak: Soak) -> Iterator[Judgement]:
    """Judge a run: first what must not have happened, then what must not have grown, then what must not have slowed."""
    yield from zero("answers", soak.wrong)
    yield from _processes(soak)
    yield from _disk(soak)
    yield from _speeds(soak)


def _processes(soak: Soak) -> Iterator[Judgement]:
    rests = [sample for sample in soak.samples if sample.is_at_rest]
    for name in soak.samples[0].processes:
        uss = [Point(sample.at_s, sample.processes[name].uss_mb) for sample in rests]
        yield grown("memory", name, uss, soak.seconds, share=MEMORY_SHARE, least=MEMORY_MB)
        pool = [Point(sample.at_s, sample.processes[name].pool_threads) for sample in rests]
        yield bounded("threads of Polars' pool", name, pool, soak.seconds, most=POOL_THREADS)
    for what in ("files", "threads"):
        for name in soak.samples[0].processes:
            series = [Point(sample.at_s, getattr(sample.processes[name], what)) for sample in rests]
            yield counted(f"open {what}" if what == "files" else what, name, series, soak.seconds)


def _disk(soak: Soak) -> Iterator[Judgement]:
    for part in soak.samples[0].disk_mb:
        series = [Point(sample.at_s, sample.disk_mb.get(part, 0.0)) for sample in soak.samples]
        if part == "logs":
            yield bounded("disk", part, series, soak.seconds, most=(AUDIT_FILES + 1) * AUDIT_BYTES / 1e6, unit="MB")
        else:
            yield grown("disk", part, series, soak.seconds, share=DISK_SHARE, least=DISK_MB)
    counts = [Point(sample.at_s, sum(sample.files.values())) for sample in soak.samples]
    yield grown("number", "files", counts, soak.seconds, share=DISK_SHARE, least=50, unit="files")
    pages = [Point(sample.at_s, sample.online_pages) for sample in soak.samples]
    yield grown("number", "pages in use, online index", pages, soak.seconds, share=DISK_SHARE, least=50, unit="pages")


def _speeds(soak: Soak) -> Iterator[Judgement]:
    """Judge speed alone and under the pace; each beside the reference of the same moment."""
    length, probes = soak.seconds, soak.probes
    for kind in probes[0].ms if probes else ():
        server = [Point(probe.at_s, probe.server_ms[kind]) for probe in probes]
        used = [Point(probe.at_s, probe.work_processor_ms) for probe in probes]
        yield from _known(slowed("server's processor time, alone", kind, server, used, length))
        alone = [Point(probe.at_s, probe.ms[kind]) for probe in probes]
        yield from _known(slowed("latency, alone", kind, alone, _reference(probes, kind), length))
    samples = [sample for sample in soak.samples if not sample.is_at_rest]
    used = [Point(sample.at_s, sample.work_processor_ms) for sample in samples]
    for kind in sorted({kind for window in soak.windows for kind in window.kinds if not kind.startswith("alone: ")}):
        taken = [(window.at_s, window.kinds[kind]) for window in soak.windows if kind in window.kinds]
        p50 = [Point(at_s, one.p50_ms) for at_s, one in taken if one.count]
        yield from _known(slowed("latency p50", kind, p50, _reference(samples, kind), length))
        own = [Point(at_s, one.processor_ms) for at_s, one in taken if one.processor_ms]
        yield from _known(slowed("processor time", kind, own, used, length))


def _reference(moments: Sequence[Sample] | Sequence[Probe], kind: str) -> list[Point]:
    """Give what a call is compared with: fixed work; and if it saves, as many syncs as a save has beside it."""
    syncs = SYNCS if any(word in kind for word in _SAVING) else 0
    return [Point(one.at_s, one.work_ms + syncs * one.sync_ms) for one in moments]


def _known(judgement: Judgement | None) -> Iterator[Judgement]:
    if judgement is not None:
        yield judgement
