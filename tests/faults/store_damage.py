"""Damages the files of a store one by one in every way, and asks the store; in a process that may crash.

What is right was asked of the store before it was damaged; the rows, of the plain lists that they were made from.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import polars as pl

from faults import whole_store
from faults.whole_store import RATINGS, Kind, kind_of, opened, questions
from tiffin.cache import sealed as frames
from tiffin.definitions import Definitions
from tiffin.errors import NotFoundError, TiffinError
from tiffin.files import sealed
from tiffin.lineage import Lineage
from tiffin.quality.profiles import kept
from tiffin.tables import actions, checkpoint, quarantine

PAGE_BYTES = 4096
WAYS = ["flip", "cut", "zeros", "block", "empty", "missing", "folder", "link"]
MOST_CONCERNED, MOST_OTHERS = 10, 3
"""Questions that are asked of those that depend on the damaged file, and of the others."""
_LISTS = "lineage|definition|search|services|on-demand features|training sets|derived"
"""Questions about all there is: what is damaged is left out, and `examine` tells of it."""
_CONCERNS = {
    "commit|checkpoint|data file": "rows|history|definition|lineage|profile|difference|training|service|stages",
    "tags": "tags|rows of a tag",
    "stage": "stages|rows of a stage",
    "quarantine": "rows of the quarantine",
    "service": "service|rows online|rows of a training frame",
    "on-demand": "on-demand|rows computed",
    "keys": "key",
    "settings": "rows",
    "profile": "profile",
    "disk cache": "rows",
    "online": "rows online|rows computed",
    "audit": "audit",
    "lock": "rows|profile|tags",
}


class Trial(NamedTuple):
    """One file, damaged in one way."""

    path: str
    way: str
    seed: int


def trials(store: Path, seed: int, counts: dict[str, int]) -> list[Trial]:
    """Choose the trials: each kind of file as often in each way as `counts` says, its files in turn."""
    chosen = random.Random(seed)
    by_kind: dict[str, list[str]] = {}
    for path in whole_store.files(store):
        by_kind.setdefault(kind_of(path).name, []).append(path)
    found = []
    for paths in by_kind.values():
        full = [path for path in paths if (store / path).stat().st_size]
        for way, count in counts.items():
            usable = full if way in {"flip", "cut", "zeros", "block"} else paths
            turns = range(count if usable else 0)
            found += [Trial(usable[turn % len(usable)], way, chosen.randrange(1 << 30)) for turn in turns]
    return found


def damage(store: Path, trial: Trial, outside: Path, contents: dict[str, bytes]) -> None:
    """Do it; a link leads to a file of the same contents outside of the store."""
    path, data, chosen = store / trial.path, contents[trial.path], random.Random(trial.seed)
    place = chosen.randrange(max(len(data), 1))
    page = place // PAGE_BYTES * PAGE_BYTES
    if trial.way == "flip":
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << chosen.randrange(8)]) + data[place + 1 :])
    elif trial.way == "cut":
        path.write_bytes(data[:place])
    elif trial.way == "zeros":
        path.write_bytes(_overwritten(data, page, bytes(PAGE_BYTES)))
    elif trial.way == "block":
        others = [one for one in contents if contents[one] and one != trial.path]
        alike = [one for one in others if kind_of(one) == kind_of(trial.path)]
        other = contents[chosen.choice(alike if alike and chosen.random() < 0.5 else others)]
        path.write_bytes(_overwritten(data, page, other[:PAGE_BYTES]))
    elif trial.way == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if trial.way == "folder":
            path.mkdir()
        elif trial.way == "link":
            outside.write_bytes(data)
            path.symlink_to(outside)


def _overwritten(data: bytes, at: int, block: bytes) -> bytes:
    return (data[:at] + block + data[at + len(block) :])[: len(data)]


class Subject:
    """The store that is damaged, and what is right."""

    def __init__(self, folder: Path, outside: Path, secret: str) -> None:
        self.folder = folder
        self.outside = outside
        self.asked = questions(secret)
        self.contents = {path: (folder / path).read_bytes() for path in whole_store.files(folder)}
        self.folders = {path for path in folder.rglob("*") if path.is_dir()}
        self.right = self._answers()
        self._check_rows()
        self.back: dict[str, dict[str, Any]] = {}
        self.stats: dict[str, tuple[int, ...]] = {}
        self.restore()
        for path in _newest_commits(self.contents):
            (folder / path).unlink()
            self.back[path] = self._answers()
            self.restore()

    def _answers(self) -> dict[str, Any]:
        answers = {}
        with opened(self.folder) as store:
            for name, ask in self.asked.items():
                try:
                    answers[name] = ask(store)
                except TiffinError as error:
                    answers[name] = f"refused: {type(error).__name__}"
        return answers

    def _check_rows(self) -> None:
        """The right rows are those that went in."""
        assert not [name for name, answer in self.right.items() if str(answer).startswith("refused")], self.right
        for version in range(3):
            rows = [row for old in range(version + 1) for row in whole_store.ratings(old)]
            assert self.right[f"rows of {RATINGS}@{version}"] == {name: [row[name] for row in rows] for name in rows[0]}
        brought = [*(whole_store.ratings(version) for version in range(3)), whole_store.ratings(3)[2:]]
        newest = {row["user_id"]: row for rows in brought for row in rows}
        values = self.right["rows online"]["values"]
        assert values["mean"] == [newest[user]["mean"] if user in newest else None for user in values["user_id"]]
        assert values["votes"] == [{0: 2000, 1: 2002}.get(user % 4, 1000 + user % 4) for user in values["user_id"]]

    def restore(self) -> None:
        """Undo the damage, and whatever was made since."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            name = str(path.relative_to(self.folder))
            if path.is_dir() and not path.is_symlink():
                if path not in self.folders:
                    path.rmdir()
            elif name not in self.contents:
                path.unlink()
        for name, data in self.contents.items():
            path = self.folder / name
            if name in self.stats and path.exists() and self.stats[name] == _stat(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            self.stats[name] = _stat(path)

    def try_one(self, trial: Trial) -> Counter[str]:
        """Do one damage, ask, and say of each answer what it is."""
        kind = kind_of(trial.path)
        damage(self.folder, trial, self.outside, self.contents)
        chosen = random.Random(trial.seed)
        concerned = "|".join(about for names, about in _CONCERNS.items() if re.search(names, kind.name))
        about = [name for name in self.asked if concerned and re.search(concerned, name)]
        others = [name for name in self.asked if name not in about]
        asked = chosen.sample(about, min(len(about), MOST_CONCERNED)) + chosen.sample(others, MOST_OTHERS)
        chosen.shuffle(asked)
        found: Counter[str] = Counter()
        with watched(self.outside) if trial.way == "link" else contextlib.nullcontext() as was_opened:
            try:
                with opened(self.folder, **_settings(kind)) as store:
                    for name in asked:
                        found[self._outcome(trial, kind, name, store)] += 1
                    is_seen = found["told"] or found["left out"]
                    if is_seen and kind.damage == "told" and trial.way != "missing":
                        told = " ".join(f"{one.what} {one.hint}" for one in store.examine())
                        found["examine told"] += 1
                        if not names(trial.path, told):
                            found[f"WRONG: {trial}: examine says only {told!r}"] += 1
            except TiffinError as error:
                found["told" if names(trial.path, f"{error}") else f"WRONG: {trial}: opening says only {error}"] += 1
            if was_opened is not None and was_opened():
                found[f"WRONG: {trial}: what lies outside was opened"] += 1
        return found

    def _outcome(self, trial: Trial, kind: Kind, name: str, store: Any) -> str:
        try:
            answer = self.asked[name](store)
        except TiffinError as error:
            told = f"{error} {error.hint} {error.context}"
            if names(trial.path, told) or (trial.way == "missing" and isinstance(error, NotFoundError)):
                return "told" if trial.way != "missing" else "told to be missing"
            if trial.path in self.back and self.back[trial.path][name] == f"refused: {type(error).__name__}":
                return "rolled back"
            return f"WRONG: {trial}: {name}: says only {error!r} {error.context}"
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - whatever it is, it is one of ours that is missing
            return f"WRONG: {trial}: {name}: {traceback.format_exc(limit=-4)}"
        if answer == self.right[name]:
            return "right"
        if trial.path in self.back and answer == self.back[trial.path][name]:
            # A torn last commit was never acknowledged; one that is gone cannot be told from one that never was.
            return "rolled back"
        about = name.partition(" of ")[2]
        is_list = re.match(_LISTS, name) and (
            not about or f"/{about}/" not in trial.path or isinstance(answer, Lineage)
        )
        if kind.damage == "told" and is_list and _is_left_out(answer, self.right[name]):
            return "left out"
        if (
            trial.way == "missing"
            and kind.damage == "told"
            and (not name.startswith("rows") or kind.name == "quarantine")
        ):
            return "told to be missing"
        if kind.name == "online index" and name.startswith("rows") and _is_absent(answer, self.right[name]):
            return "not found"
        return f"WRONG: {trial}: {name}: {answer!r:.200} for {self.right[name]!r:.200}"


def _settings(kind: Kind) -> dict[str, object]:
    return {"disk_cache_bytes": "64MB"} if "disk cache" in kind.name else {}


def _stat(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _newest_commits(paths: Any) -> Iterator[str]:
    newest: dict[str, str] = {}
    for path in sorted(path for path in paths if kind_of(path).name == "commit"):
        newest[path.rpartition("/")[0]] = path
    yield from newest.values()


def _is_left_out(answer: Any, right: Any) -> bool:
    """Tell whether an answer about all there is says nothing else than the right one, only less."""
    if isinstance(answer, list | tuple):
        return all(any(_is_same(one, other) for other in right) for one in answer)
    if isinstance(answer, Definitions):
        parts = [(answer.tables, right.tables), (answer.services, right.services)]
        return bool(answer.unreadable) and all(
            known[name] == one for some, known in parts for name, one in some.items()
        )
    if isinstance(answer, Lineage):
        return {node.name for node in answer.nodes} <= {node.name for node in right.nodes}
    return _is_same(answer, right)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two are the same, but for how far the source of a derived table is ahead: that may not be known."""
    if getattr(one, "behind", 0) is None and hasattr(other, "behind"):
        return bool(one == msgspec.structs.replace(other, behind=None))
    return bool(one == other)


def _is_absent(answer: Any, right: Any) -> bool:
    """Tell whether an online answer differs from the right one in entities that were not found alone."""
    statuses = answer["statuses"]
    return all(
        value == right["values"][name][place]
        or (value is None and name in statuses and statuses[name][place] == "NOT_FOUND")
        for name, values in answer["values"].items()
        for place, value in enumerate(values)
    )


def names(path: str, told: str) -> bool:
    """Tell whether a text names a file: by its name, or as people call it."""
    name = path.rpartition("/")[2]
    number = re.match(r"\.?(\d{20})", name)
    called = [name, name.split(".")[0]] if name.split(".")[0] else [name]
    if number:
        # Of a checkpoint and its checksum, which of the two is damaged cannot be told.
        called += [f"{word} {int(number[1])}" for word in ("commit", "version")] + [f"checkpoint {number[1]}"]
    if path.startswith("online/"):
        called += ["online index", "/online"]
    return any(one in told for one in called)


@contextlib.contextmanager
def watched(path: Path) -> Iterator[Any]:
    """Give a function that tells whether a file was opened meanwhile, through whatever link."""
    path.touch()
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), 0x20) >= 0  # IN_OPEN

    def was_opened() -> bool:
        try:
            return bool(os.read(descriptor, 4096))
        except BlockingIOError:
            return False

    try:
        yield was_opened
    finally:
        os.close(descriptor)


class Same:
    """Equal to whatever it is compared with."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def encode(self) -> Same:
        return self


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Switch off all checks of checksums, but those of the online index."""
    blind = SimpleNamespace(xxh3_64_hexdigest=lambda data: Same(), xxh3_128_hexdigest=lambda data: Same())
    digest = kept._digest
    with contextlib.ExitStack() as stack:
        for where, what, instead in (
            (actions, "_checksum", lambda data: bytes(data[actions._SEAL])),
            (sealed, "_checksum", lambda document: Same()),
            (checkpoint, "xxhash", blind),
            (quarantine, "xxhash", blind),
            (frames, "is_whole", lambda name, data: True),
            (kept, "_digest", lambda data: Same() if isinstance(data, msgspec.Raw) else digest(data)),
        ):
            stack.enter_context(mock.patch.object(where, what, instead))
        stack.enter_context(mock.patch.dict(os.environ, TIFFIN_VERIFY_CHECKSUMS="false"))
        yield


def main(work: Path, first: int, *, is_checked: bool) -> None:
    """Do the trials from the `first` on; report each before it is done, and what came of it."""
    subject = Subject(work / "store", work / "outside", (work / "secret").read_text())
    todo = [Trial(*one) for one in json.loads((work / "trials").read_text())]
    with (work / "report").open("a") as report, contextlib.nullcontext() if is_checked else unchecked():
        for number, trial in enumerate(todo[first:], first):
            print(json.dumps({"begin": number}), file=report, flush=True)
            found = subject.try_one(trial)
            print(json.dumps({"end": number, "found": found}), file=report, flush=True)
            subject.restore()


if __name__ == "__main__":
    task, folder, *rest = sys.argv[1:]
    if task == "build":
        shutil.rmtree(Path(folder) / "store", ignore_errors=True)
        (Path(folder) / "secret").write_text(whole_store.build(Path(folder) / "store"))
    else:
        main(Path(folder), int(rest[0]), is_checked=task == "checked")
    os._exit(0)
