"""Writers that do not heed each other or write in place, a server without bounds: what watches ours must notice."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import tiffin
from faults.test_many_writers import TABLE, check_every_version, run_all
from faults.test_server_abuse import EVIL, close, flood
from faults.workload import PROCESSES, Notes, frame_of, notes, read_until, save_many
from served import Served
from tiffin.files import LocalFiles

pytestmark = pytest.mark.slow

WRITERS = 3
MOST_ROUNDS = 20
"""How often something is done at most until it has gone wrong once: on a busy machine it may go well for a while."""
LAST_WINS = {"tables": [TABLE], "modes": ["append"], "saves": 30, "settings": {"compact_files": 0}}


@contextlib.contextmanager
def unlocked(self: LocalFiles, path: Path, **_: bool) -> Iterator[bool]:
    yield True


def replace(self: LocalFiles, source: Path, target: Path) -> None:
    """Give a file a second name, whoever had it."""
    second = source.with_suffix(".second")
    second.hardlink_to(source)
    second.replace(target)


def save_blindly(folder: Path, log: Path, seed: int, plan: dict[str, Any]) -> None:
    """Save without locks, and write a commit though there is one of that number; begin when the other does."""
    LocalFiles.lock = unlocked
    LocalFiles.link = replace
    Notes(log.with_name(f"ready-{seed}")).write(event="ready")
    while len(list(log.parent.glob("ready-*"))) < WRITERS:
        pass
    save_many(folder, log, seed, plan)


def saved_blindly(folder: Path) -> list[dict[str, Any]]:
    """Save in several processes that do not heed each other; what they noted."""
    tiffin.FeatureStore(folder / "store").save(TABLE, frame_of(0, 0), entity="id")
    logs = [folder / f"log-{seed}" for seed in range(1, WRITERS + 1)]
    writers = [
        PROCESSES.Process(daemon=True, target=save_blindly, args=(folder / "store", log, seed, LAST_WINS))
        for seed, log in enumerate(logs, start=1)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        # Not all come to their end: some find that another has swept their files away.
        writer.join(60)
    return [line for log in logs for line in notes(log)]


def test_writers_that_do_not_heed_each_other_are_caught(tmp_path: Path, figure: Callable[[str], None]):
    saves, lost = 0, set()
    for number in range(MOST_ROUNDS):
        lines = saved_blindly(tmp_path / str(number))
        store = tiffin.FeatureStore(tmp_path / str(number) / "store")
        saved = {line["token"] for line in lines if line["event"] == "saved"}
        saves, lost = saves + len(saved), saved - set(store.read(TABLE).to_polars()["token"])
        if lost:
            break
    figure(f"no locks and no compare-and-set: {len(lost)} of {saves} acknowledged saves lost (wanted)")
    assert lost
    with pytest.raises(AssertionError):
        check_every_version(store, lines)


def overwrite_in_place(folder: Path, log: Path, seed: int, rounds: int) -> None:
    """Change the newest data file where it lies, again and again."""
    table = folder / "features" / TABLE
    for token in range(rounds):
        newest = max(table.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        frame_of(0, token).write_parquet(newest)


def test_readers_beside_a_writer_in_place_fail(tmp_path: Path, figure: Callable[[str], None]):
    store, stop, seen = tmp_path / "store", tmp_path / "stop", tmp_path / "seen"
    tiffin.FeatureStore(store).save(TABLE, frame_of(0, 0), entity="id")
    reader = PROCESSES.Process(daemon=True, target=read_until, args=(store, seen, stop, [TABLE]))
    reader.start()
    for _ in range(MOST_ROUNDS):
        run_all(overwrite_in_place, [(store, tmp_path / "log", 0, 300)])
        if any(line["event"] == "failed" for line in notes(seen)):
            break
    stop.touch()
    reader.join(60)
    lines = notes(seen)
    failed = [line for line in lines if line["event"] == "failed"]
    reads = sum(line["reads"] for line in lines if line["event"] == "read")
    figure(f"data files written in place: {len(failed)} of {len(failed) + reads} reads failed (wanted)")
    assert failed


def test_an_online_row_removed_in_secret_is_seen(tmp_path: Path, figure: Callable[[str], None]):
    with tiffin.FeatureStore(tmp_path / "store") as store:
        store.save(TABLE, frame_of(0, 0), entity="id", online=True)
        index = store._materializer.index
        (table_id,) = index.tables()
        head, key = index.head(table_id), index.keys(table_id, 1)[0]
        later = msgspec.structs.replace(head, version=1)
        assert index.apply(table_id, head, later, [], [key])
        assert index.apply(table_id, later, head, [], [])
        (found,) = store.verify(TABLE).tables
    figure(f"1 online row removed in secret: {found.values_different} values are seen to differ (wanted)")
    assert not found.ok


WITHOUT_BOUNDS = """
import socket, uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})
listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off")).run(sockets=[listening])
"""


def test_clients_of_a_server_without_bounds_are_kept_out(figure: Callable[[str], None]):
    failed, tried, half_open = 0, 4, 400
    limited = ["/bin/sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", sys.executable, "-c", WITHOUT_BOUNDS]
    with subprocess.Popen(limited, stdout=subprocess.PIPE, text=True) as process:
        try:
            server = Served(process, f"http://127.0.0.1:{int(process.stdout.readline())}")
            opened = flood(server, EVIL, half_open)
            for _ in range(tried):
                try:
                    failed += httpx.get(server.url, timeout=1).status_code != 200
                except httpx.HTTPError:
                    failed += 1
            close(opened)
        finally:
            process.kill()
    figure(f"a bare uvicorn: {failed} of {tried} requests failed beside {half_open} half-open ones (wanted)")
    assert failed
