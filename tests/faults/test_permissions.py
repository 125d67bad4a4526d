"""Permissions are taken away from parts of a store, before and while it is used: clear errors, and nothing is lost.

To root nothing is forbidden, so the work is done by processes that gave root up.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import tiffin
from faults.workload import PROCESSES, SLOTS, Ledger, Notes, frame_of, groups_of, notes, save_one
from tiffin.access import keys_of
from tiffin.errors import OutcomeUnknown, StorageError, TiffinError
from tiffin.files import LocalFiles, Stat

TABLE = "group/name"
NOBODY = 65534
SAVES = 80
MOST_SAVES = 800
"""So many if none was refused until then."""
SETTINGS = {"disk_cache_bytes": 1 << 20, "memory_cache_bytes": 0, "checkpoint_every": 3}
LOG = f"features/{TABLE}/_delta_log"
PARTS = ["", "features", "features/group", f"features/{TABLE}", LOG, f"{LOG}/.write.lock", "online", "online/data.mdb",
         "online/lock.mdb", "metadata", "config", "config/keys.json", "registry", "registry/services"]  # fmt: skip
MODES = [0o000, 0o555]
"""Nothing; reading and entering without changing."""


@pytest.fixture
def ours() -> Iterator[Path]:
    """A folder that belongs to nobody in particular, where others may go: pytest's own is closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="tiffin-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o755)
    shutil.rmtree(folder)


def prepare(folder: Path) -> None:
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        store.save(TABLE, frame_of(0, 1), entity="id", online=True)
        store.save(TABLE, frame_of(1, 2), mode="append")
        store.create_service("served", [f"{TABLE}:token"])
        keys_of(folder).create("key", ["read"])


def is_gapless(versions: list[int]) -> bool:
    return versions == list(range(versions[0], versions[-1] - 1, -1))


def work(store: tiffin.FeatureStore, number: int) -> dict[str, Callable[[], object]]:
    """Name what is done; each gives something that can be compared with what it gives on a whole store."""
    return {
        "read": lambda: groups_of(store.read(TABLE).to_polars()),
        "history": lambda: is_gapless([commit.version for commit in store.history(TABLE)]),
        "tables": lambda: len(store.tables()),
        "online": lambda: store.get_online_features("served", [{"id": 0}]).to_dict()["token"],
        "keys": lambda: [key.name for key in keys_of(store.path).keys()][:1],  # noqa: SIM118 - no mapping
        "profile": lambda: store.profile(TABLE).rows,
        "save": lambda: store.save(TABLE, frame_of(0, 1), mode="upsert") and None,
        "service": lambda: store.create_service(f"other-{number}", [f"{TABLE}:slot"]) and None,
        "new key": lambda: keys_of(store.path).create(f"key-{number}", ["read"]) and None,
        "materialize": lambda: store.materialize(TABLE, from_scratch=True) and None,
        "vacuum": lambda: store.vacuum(TABLE, keep_versions=2) and None,
    }


def give_up_root() -> None:
    """Become nobody; what was imported until now may lie where nobody can read."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def forbid(folder: Path, log: Path, modes: list[int], *, hidden: bool) -> None:
    """Take each permission from each part, do everything, give it back, and do everything again."""
    lines = Notes(log)
    warm = folder.parent / "warm"
    prepare(warm)
    with tiffin.FeatureStore(warm, **SETTINGS) as store:
        for call in work(store, 0).values():
            call()
    shutil.rmtree(warm)
    give_up_root()
    if hidden:
        _lose_what_is_forbidden()
    prepare(folder)
    with tiffin.FeatureStore(folder, **SETTINGS) as whole:
        expected = {name: call() for name, call in work(whole, 0).items()}
    lines.write(expected=expected)
    for number, (part, mode) in enumerate(itertools.product(PARTS, modes), 1):
        path = folder / part
        before = stat.S_IMODE(path.stat().st_mode)
        with tiffin.FeatureStore(folder, **SETTINGS) as store:
            path.chmod(mode)
            during = {name: outcome(call) for name, call in work(store, number).items()}
            opened = outcome(lambda: tiffin.FeatureStore(folder, **SETTINGS).read(TABLE) and None)
            path.chmod(before)
            after = {name: outcome(call) for name, call in work(store, -number).items()}
            examined = [finding.what for finding in store.examine()]
        lines.write(part=part, mode=oct(mode), during={**during, "open": opened}, after=after, examined=examined)


def _lose_what_is_forbidden() -> None:
    """Take what may not be looked at for what is not there."""
    stat_, names = LocalFiles.stat, LocalFiles.names

    def stat_or_none(self: LocalFiles, path: Path) -> Stat | None:
        try:
            return stat_(self, path)
        except PermissionError:
            return None

    def names_or_none(self: LocalFiles, path: Path) -> list[str]:
        try:
            return names(self, path)
        except PermissionError:
            return []

    LocalFiles.stat = stat_or_none  # type: ignore[method-assign]
    LocalFiles.names = names_or_none  # type: ignore[method-assign]


def outcome(call: Callable[[], object]) -> dict[str, object]:
    try:
        return {"done": call()}
    except TiffinError as error:
        return {"error": type(error).__name__, "is_storage": isinstance(error, StorageError), "hint": error.hint,
                "message": error.message}  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not what was promised
        return {"error": type(error).__name__, "is_storage": False, "hint": "", "message": str(error)}


def newest(store: tiffin.FeatureStore) -> int:
    """Return the newest version as soon as that can be read."""
    while True:
        with contextlib.suppress(StorageError):
            return store.history(TABLE, limit=1)[0].version


def save_beside_a_thief(folder: Path, log: Path, seed: int) -> None:
    """Save, while another thread takes permissions away and gives them back at random moments."""
    lines, chance, stop = Notes(log), random.Random(seed), threading.Event()
    begun, gone = threading.Event(), threading.Event()
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0, checkpoint_every=3, compact_files=4)
    save_one(store, lines, TABLE, "overwrite", 0, 0)
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    give_up_root()
    parts = [folder / "features" / "group", folder / "features" / TABLE, folder / LOG]

    def steal() -> None:
        while begun.wait() and not stop.is_set():
            begun.clear()
            part = chance.choice(parts)
            # Not waiting for anything: these are the random moments.
            time.sleep(chance.uniform(0, 0.01))
            part.chmod(chance.choice(MODES))
            time.sleep(chance.uniform(0, 0.02))
            part.chmod(0o755)
            gone.set()

    thief = threading.Thread(target=steal)
    thief.start()
    number = refused = 0
    while (number := number + 1) < (SAVES if refused else MOST_SAVES):
        mode = ("append", "upsert", "overwrite")[number % 3]
        slot = SLOTS + number if mode == "append" else number % SLOTS
        told = {"table": TABLE, "mode": mode, "slot": slot, "token": number}
        lines.write(event="begin", **told)
        if number % 2:
            gone.clear()
            begun.set()
        else:
            gone.wait()
        try:
            commit = store.save(TABLE, frame_of(slot, number), mode=mode)
        except OutcomeUnknown:
            lines.write(event="saved", version=newest(store), **told)
        except StorageError as error:
            refused += 1
            lines.write(event="refused", hint=error.hint, **told)
        else:
            lines.write(event="saved", version=commit.version, **told)
    stop.set()
    begun.set()
    thief.join()
    save_one(store, lines, TABLE, "upsert", 0, number)


def child(target: Callable[..., None], *arguments: object, **named: object) -> None:
    process = PROCESSES.Process(daemon=True, target=target, args=arguments, kwargs=named)
    process.start()
    process.join(100)
    process.kill()
    assert process.exitcode == 0


def misjudged(lines: list[dict[str, object]], expected: dict[str, object]) -> Iterator[str]:
    """Name what was neither done right nor refused clearly, and what was not as before once it was allowed again."""
    for line in lines:
        where = f"{line['part'] or 'the store'} {line['mode']}"
        for name, found in line["during"].items():  # type: ignore[attr-defined]
            if "done" in found and found["done"] != expected.get(name):
                yield f"{where}: {name} gave {found['done']}, not {expected.get(name)}"
            if "error" in found and not (found["is_storage"] and found["hint"]):
                yield f"{where}: {name} ended in {found}"
        for name, found in line["after"].items():  # type: ignore[attr-defined]
            if "done" not in found or found["done"] != expected[name]:
                yield f"{where}: {name} afterwards: {found}"
        if line["examined"]:
            yield f"{where}: examine: {line['examined']}"


class TestPermissions:
    @pytest.mark.slow
    def test_what_is_forbidden_is_refused_clearly_and_done_when_it_is_allowed(
        self, ours: Path, tmp_path: Path, figure: Callable[[str], None]
    ):
        child(forbid, ours / "store", tmp_path / "log", MODES, hidden=False)
        first, *lines = notes(tmp_path / "log")
        refused = [found for line in lines for found in line["during"].values() if "error" in found]
        calls = sum(len(line["during"]) for line in lines)
        assert list(misjudged(lines, first["expected"])) == []
        assert len(lines) == len(PARTS) * len(MODES)
        assert len(refused) > 50
        figure(f"{len(lines)} permissions taken away, {calls} calls: {len(refused)} refused, the others done right, "
               "all done when they were given back; 0 lost")  # fmt: skip

    @pytest.mark.slow
    def test_a_store_that_takes_what_is_forbidden_for_gone_is_caught(
        self, ours: Path, tmp_path: Path, figure: Callable[[str], None]
    ):
        child(forbid, ours / "store", tmp_path / "log", MODES[:1], hidden=True)
        first, *lines = notes(tmp_path / "log")
        seen = list(misjudged(lines, first["expected"]))
        figure(f"what is forbidden is taken for gone: {len(seen)} wrong answers seen (wanted)")
        assert len(seen) > 10

    @pytest.mark.slow
    def test_saves_while_permissions_come_and_go_land_whole_or_not_at_all(
        self, ours: Path, tmp_path: Path, figure: Callable[[str], None]
    ):
        child(save_beside_a_thief, ours / "store", tmp_path / "log", 1)
        lines = notes(tmp_path / "log")
        events = [line["event"] for line in lines]
        landed = [line for line, then in pairwise(lines) if line["event"] == "saved" or then["event"] == "saved"]
        ledger = Ledger()
        ledger.follow([*landed, lines[-1]])
        with tiffin.FeatureStore(ours / "store", disk_cache_bytes=0) as store:
            ledger.check(store, TABLE)
            assert store.examine() == []
        assert ledger.saves > SAVES // 10
        assert "refused" in events
        assert all(line["hint"] for line in lines if line["event"] == "refused")
        saves, refused = events.count("begin"), events.count("refused")
        figure(f"{saves} saves while permissions come and go: {refused} refused, 0 lost, 0 torn")
