"""No space for what is not a table's rows: the online index, the caches, the small files, a server's store."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx
import polars as pl
import pytest

import tiffin
from faults.test_full_disk import PAGE
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, notes
from served import served
from tiffin import reading
from tiffin.access import Keys, keys_of
from tiffin.errors import CorruptData, NoSpace, TiffinError
from tiffin.files import LOCAL, durable
from tiffin.online.environment import Environment, Opened
from tiffin.serving import watch

TABLE = "group/name"
COUNT = 50
MAP_BYTES = 1 << 24
READERS = 100
"""Threads that read at once: more than find a place in the first page of LMDB's lock file."""
PAGES = [0, 1, 2, 3, 4, 6, 60, 66, 67, 68, 69, 70, 72, 80]
"""Pages left: too few for the index's small files, for its lock file of 66, for its rows; enough."""


def frame(token: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(COUNT), "token": [token] * COUNT})


def fill(folder: Path, pages: int = 0, name: str = "filler") -> Path:
    """Fill a disk but for some pages."""
    filler = folder / name
    filler.write_bytes(bytes(os.statvfs(folder).f_bavail * PAGE - pages * PAGE))
    return filler


def tokens(store: tiffin.FeatureStore) -> list[object]:
    entities = [{"id": number} for number in range(COUNT)]
    return store.get_online_features([f"{TABLE}:token"], entities).to_dict()["token"]


def read_at_once(folder: Path) -> None:
    """Read the index in many threads, all of them in a transaction at the same moment."""
    environment, together = Environment(folder / "online", LOCAL, MAP_BYTES), Barrier(READERS)

    def read(opened: Opened) -> None:
        with opened.begin():
            together.wait(30)

    with ThreadPoolExecutor(READERS) as threads:
        list(threads.map(lambda _: environment.read(read), range(READERS)))


def make_impatient(*, has_room: bool) -> None:
    """Look often whether the index lags; perhaps leave its lock file as LMDB makes it."""
    watch.LOOK_AFTER_S = watch.RETRY_AFTER_S = 0.01
    if not has_room:
        Environment._make_lock = lambda self: None


def follow_without_space(folder: Path, log: Path, left: list[int], *, has_room: bool) -> None:
    """Save, and read online, with so many pages left for an index that is made then; and again once there is space."""
    make_impatient(has_room=has_room)
    lines, index = Notes(log), folder / "online"
    with tiffin.FeatureStore(folder, disk_cache_bytes=0, online_map_bytes=MAP_BYTES) as store:
        for token, pages in enumerate(left):
            for path in index.iterdir():
                path.unlink()
            filler = fill(index, pages)
            commit = store.save(TABLE, frame(token), entity="id", online=True)
            told = {"pages": pages, "version": commit.version, "warnings": commit.warnings}
            try:
                told["during"] = tokens(store)
            except TiffinError as error:
                told |= {"code": error.code, "hint": error.hint}
            filler.unlink()
            wait_for(lambda token=token: tokens(store) == [token] * COUNT, "the index to catch up")
            lines.write(**told)


def read_without_space(folder: Path, log: Path, *, has_room: bool) -> None:
    """Read an index that was there before its disk was full, and save to its table."""
    make_impatient(has_room=has_room)
    with tiffin.FeatureStore(folder, disk_cache_bytes=0, online_map_bytes=MAP_BYTES) as store:
        store.save(TABLE, frame(0), entity="id", online=True)
        filler = fill(folder / "online")
        before = tokens(store)
        read_at_once(folder)
        commit = store.save(TABLE, frame(1))
        filler.unlink()
        wait_for(lambda: tokens(store) == [1] * COUNT, "the index to catch up")
        Notes(log).write(before=before, warnings=commit.warnings)


def ended(target: Callable[..., None], *arguments: object, has_room: bool = True) -> int | None:
    process = PROCESSES.Process(daemon=True, target=target, args=arguments, kwargs={"has_room": has_room})
    process.start()
    process.join(60)
    process.kill()
    return process.exitcode


@pytest.mark.slow
class TestOnlineIndex:
    def test_without_space_it_lags_and_catches_up_by_itself(
        self, tmpfs: Callable[..., Path], tmp_path: Path, figure: Callable[[str], None]
    ):
        tmpfs("size=1m", tmp_path / "store" / "online")
        assert ended(follow_without_space, tmp_path / "store", tmp_path / "log", PAGES) == 0
        lines = notes(tmp_path / "log")
        assert len(lines) == len(PAGES)
        refused = [line for line in lines if line["warnings"]]
        for token, line in enumerate(lines):
            assert line["version"] == token
            if "code" in line:
                assert (line["code"], bool(line["hint"])) == ("no_space", True), line
            else:
                assert line["during"] in ([token] * COUNT, [token - 1] * COUNT), line
            assert not line["warnings"] or "no space" in line["warnings"][0].lower(), line
        assert 0 < len(refused) < len(lines)
        figure(f"{len(lines)} disks without space for the online index: {len(refused)} saves with a warning, 0 lost, "
               f"0 wrong answers, 0 processes killed")  # fmt: skip

    def test_an_index_that_is_there_is_read_by_all_though_its_disk_is_full(
        self, tmpfs: Callable[..., Path], tmp_path: Path, figure: Callable[[str], None]
    ):
        tmpfs("size=1m", tmp_path / "store" / "online")
        assert ended(read_without_space, tmp_path / "store", tmp_path / "log") == 0
        (line,) = notes(tmp_path / "log")
        assert line["before"] == [0] * COUNT
        figure(f"{READERS} readers at once of an index on a full disk: 0 failed")

    def test_a_lock_file_with_holes_in_it_would_end_the_process(
        self, tmpfs: Callable[..., Path], tmp_path: Path, figure: Callable[[str], None]
    ):
        """The kernel sends a signal for a page of a map that has no room on the disk."""
        for name in ("new", "old"):
            tmpfs("size=1m", tmp_path / name / "online")
        ends = [
            ended(follow_without_space, tmp_path / "new", tmp_path / "log", PAGES, has_room=False),
            ended(read_without_space, tmp_path / "old", tmp_path / "log", has_room=False),
        ]
        assert ends == [-signal.SIGBUS] * 2
        figure(f"a lock file as LMDB makes it: {len(ends)} of {len(ends)} processes killed by the kernel (wanted)")


def names_of(keys: Keys) -> list[str]:
    return [key.name for key in keys.keys()]  # noqa: SIM118 - no mapping


class Small:
    """What a store keeps besides rows, and how each part of it is changed."""

    def __init__(self, folder: Path) -> None:
        self.store = tiffin.FeatureStore(folder, disk_cache_bytes=1 << 20)
        self.keys = keys_of(folder)
        self.store.save(TABLE, frame(0), entity="id", constraints=["token >= 0"])
        self.store.create_service("old", [f"{TABLE}:token"])
        self.store.tag(TABLE, 0, "old")
        self.keys.create("old", ["read"])

    def change(self, number: int) -> dict[str, Callable[[], object]]:
        name, bad = f"new-{number}", frame(number).with_columns(token=-pl.col("id"))
        return {
            "service": lambda: self.store.create_service(name, [f"{TABLE}:token"]),
            "tag": lambda: self.store.tag(TABLE, 0, name),
            "stage": lambda: self.store.stage(TABLE, frame(1), f"stage-{number}"),
            "key": lambda: self.keys.create(name, ["read"]),
            "declaration": lambda: self.store.declare(TABLE, description=name),
            "quarantine": lambda: self.store.save(TABLE, bad, on_violation="quarantine"),
        }

    def held(self) -> dict[str, object]:
        return {
            "services": [service.name for service in self.store.services()],
            "tags": [tag.name for tag in self.store.tags(TABLE)],
            "stages": [stage.name for stage in self.store.stages(TABLE)],
            "keys": names_of(self.keys),
            "versions": [commit.version for commit in self.store.history(TABLE)],
            "quarantined": len(self.store.quarantine(TABLE)),
            "findings": [*self.store.examine(), *self.store.examine_services()],
        }


class TestSmallFiles:
    def test_on_a_full_disk_each_is_refused_and_nothing_is_changed(
        self, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        folder = tmpfs("size=2m")
        small = Small(folder)
        before = small.held()
        filler = fill(folder)
        for name, change in small.change(1).items():
            with pytest.raises(NoSpace, match="No space left") as caught:
                change()
            assert caught.value.hint, name
            assert small.held() == before, name
        filler.unlink()
        for change in small.change(2).values():
            change()
        after = small.held()
        assert after["findings"] == []
        assert set(after["keys"]) == {"old", "new-2"}  # type: ignore[call-overload]
        assert set(after["services"]) == {"old", "new-2"}  # type: ignore[call-overload]
        assert after["quarantined"] == COUNT - 1
        figure(
            f"{len(small.change(3))} kinds of small files on a full disk: all refused, 0 changed, all kept afterwards"
        )

    @pytest.mark.slow
    def test_what_is_only_kept_to_be_quicker_is_no_error(
        self, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        folder = tmpfs("size=2m")
        with Small(folder).store as store:
            large = pl.concat([frame(1)] * (reading._WORTH_A_FILE_BYTES // frame(1).estimated_size() + 1))
            store.save("group/large", large)
            filler = fill(folder)
            assert store.profile(TABLE).rows == COUNT
            assert store.read("group/large").to_polars().equals(large)
            store.close()
            held = store.stats().disk_cache
            assert held is not None
            assert held["failed"] == 1
            filler.unlink()
        figure("profiles and the disk cache on a full disk: 0 errors, right answers")

    def test_a_file_of_keys_written_in_place_would_be_lost(
        self, tmpfs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
    ):
        folder = tmpfs("size=2m")
        small = Small(folder)
        fill(folder)

        def in_place(fs: object, path: Path, content: bytes, **_: bool) -> None:
            with durable.translated(path, doing="write"):
                path.write_bytes(content)

        monkeypatch.setattr("tiffin.access.keys.write_durably", in_place)
        made = 1
        with contextlib.suppress(NoSpace):
            while made < 100:
                small.keys.create(f"another-{made}", ["read"])
                made += 1
        with pytest.raises(CorruptData):
            names_of(small.keys)
        figure(f"written in place on a full disk: all {made} keys lost (wanted)")


class TestServer:
    @pytest.mark.slow
    def test_it_says_that_there_is_no_space_and_goes_on_when_there_is(
        self, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        folder = tmpfs("size=4m")
        with tiffin.FeatureStore(folder) as store:
            store.save(TABLE, frame(0), entity="id", online=True)
        with served(folder, errors=folder.parent / "errors") as server, tiffin.connect(server.url) as client:
            assert tokens(client) == [0] * COUNT
            changes = {
                "save": lambda: client.save(TABLE, frame(1)),
                "push": lambda: client.push(TABLE, frame(1)[:3]),
                "service": lambda: client.create_service("one", [f"{TABLE}:token"]),
                "first save": lambda: client.save("new/table", frame(1), entity="id"),
            }
            fillers = []
            for name, change in changes.items():
                fillers.append(fill(folder, name=name))
                with pytest.raises(NoSpace) as caught:
                    change()
                assert caught.value.hint, name
                assert str(folder) not in str(caught.value), name
            body = {"records": frame(0).to_dicts()}
            for number in range(10):
                # A request before this one may have been given up here and go on there, and then leave its room.
                fillers.append(fill(folder, name=f"last-{number}"))
                answer = httpx.post(f"{server.url}/features/{TABLE}", json=body, timeout=60)
                if answer.status_code != 200:
                    break
            assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")
            assert json.loads(answer.content)["code"] == "no_space"
            assert client.read(TABLE).to_polars().equals(frame(0))
            assert tokens(client) == [0] * COUNT
            assert server.get("/health").json()["status"] == "healthy"
            for filler in fillers:
                filler.unlink()
            for change in changes.values():
                change()
            assert client.read("new/table").to_polars().equals(frame(1))
            assert tokens(client) == [1] * COUNT
        figure(f"{len(changes) + 1} requests to a server whose disk is full: all refused with 507, reads answered, and "
               "all done by the same server once there was space")  # fmt: skip
