"""A process that does to a store what it is told, while its system calls fail; and what must be in the store then."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tiffin
from faults.workload import PROCESSES, Groups, frame_of
from tiffin.access import keys_of
from tiffin.errors import TiffinError
from tiffin.files import LocalFiles, system

TABLE, NEW_TABLE = "group/name", "new/table"
SETTINGS = {"disk_cache_bytes": 0, "compact_files": 0, "checkpoint_every": 4}
BEFORE: list[Groups] = [{0: 1}, {0: 1, 10: 2}, {0: 3, 10: 2}, {0: 3, 10: 2, 11: 4}]
"""The groups of each version of the table before a fault; the next version gets a checkpoint."""
PATIENCE_S = 60


class Case(NamedTuple):
    """One thing that is done to a store; `number` tells the first try from the second."""

    act: Callable[[tiffin.FeatureStore, int], object]
    groups: Callable[[Groups, int], Groups] | None = None
    """From the groups of the newest version; None if it makes no version."""
    table: str = TABLE


def _save(mode: str, slot: int, table: str = TABLE) -> Callable[[tiffin.FeatureStore, int], object]:
    def act(store: tiffin.FeatureStore, number: int) -> object:
        commit = store.save(table, frame_of(slot + number, 100 + number), entity="id", mode=mode)  # type: ignore[arg-type]
        return list(commit.warnings)

    return act


def _compact(store: tiffin.FeatureStore, number: int) -> object:
    # What was merged by the first try is not merged again.
    return [list(commit.warnings) for commit in store.compact(TABLE)] or None


CASES = {
    "overwrite": Case(_save("overwrite", 1), lambda groups, number: {1 + number: 100 + number}),
    "append": Case(_save("append", 20), lambda groups, number: {**groups, 20 + number: 100 + number}),
    "upsert": Case(_save("upsert", 0), lambda groups, number: {**groups, number: 100 + number}),
    "first save": Case(
        _save("append", 0, NEW_TABLE), lambda groups, number: {**groups, number: 100 + number}, NEW_TABLE
    ),
    "materialize": Case(lambda store, number: store.materialize(TABLE, from_scratch=True) and None),
    "new index": Case(lambda store, number: store.materialize(TABLE) and None),
    "compact": Case(_compact, lambda groups, number: groups),
    "vacuum": Case(lambda store, number: store.vacuum(TABLE, keep_versions=1) and None),
    "key": Case(lambda store, number: keys_of(store.path).create(f"key-{number}", ["read"])[1]),
}


def prepare(folder: Path) -> None:
    """Make the store that every case begins with."""
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        store.save(TABLE, frame_of(0, 1), entity="id", online=True)
        store.save(TABLE, frame_of(10, 2), mode="append")
        store.save(TABLE, frame_of(0, 3), mode="upsert")
        store.save(TABLE, frame_of(11, 4), mode="append")
        keys_of(folder).create("old", ["admin"])


def _ignore_failed_syncs() -> None:
    sync = system._sync

    def ignoring(path: Path, flags: int) -> None:
        with contextlib.suppress(OSError):
            sync(path, flags)

    system._sync = ignoring


def _write_in_place() -> None:
    def copied(self: LocalFiles, source: Path, target: Path) -> None:
        data = source.read_bytes()
        with target.open("xb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            file.write(data[len(data) // 2 :])

    LocalFiles.link = copied  # type: ignore[method-assign]


VARIANTS = {"": lambda: None, "ignores failed syncs": _ignore_failed_syncs, "writes in place": _write_in_place}


def obey(line: socket.socket, variant: str) -> None:
    """Do the orders that come, each as a case, a folder and a number; answer with what came of it."""
    VARIANTS[variant]()
    # Fewer threads are quicker to attach to.
    os.environ["POLARS_MAX_THREADS"] = "1"
    store = None
    while order := line.recv(65_536):
        name, folder, number = json.loads(order)
        answer: dict[str, Any]
        try:
            if store is None or store.path != Path(folder):
                store = tiffin.FeatureStore(folder, **SETTINGS)
            answer = {"done": CASES[name].act(store, number)}
        except TiffinError as error:
            answer = {"error": type(error).__name__, "code": error.code, "message": str(error), "hint": error.hint}
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is not what was promised
            answer = {"error": type(error).__name__, "code": "", "message": str(error), "hint": ""}
        line.sendall(json.dumps(answer).encode())


class Servant:
    """A process that obeys; it is warm: what it imports when first used cannot fail later."""

    def __init__(self, prepared: Path, scratch: Path, cases: Sequence[str], variant: str = "") -> None:
        self.line, theirs = socket.socketpair()
        self.line.settimeout(PATIENCE_S)
        self.process = PROCESSES.Process(daemon=True, target=obey, args=(theirs, variant))
        self.process.start()
        theirs.close()
        for case in cases:
            folder = scratch / f"warming-{self.process.pid}-{case}"
            shutil.copytree(prepared, folder)
            assert "done" in (answer := self.ask(case, folder, 0) or {}), answer
            shutil.rmtree(folder)

    def ask(self, case: str, folder: Path, number: int) -> dict[str, Any] | None:
        """Have something done; None if that was its end."""
        self.line.sendall(json.dumps([case, str(folder), number]).encode())
        answer = self.line.recv(65_536)
        return json.loads(answer) if answer else None

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.join()
