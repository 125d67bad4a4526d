"""Tags and stages under several processes, and under SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tiffin
from tiffin.errors import VersionNotFound

ROUNDS = 60
KILLS = 6


def process(code: str, folder: Path) -> subprocess.Popen[str]:
    """Run code on the store in a folder, in a process of its own."""
    given = f"import tiffin\nstore = tiffin.FeatureStore({str(folder)!r}, compact_files=0)\n" + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", given], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_another_process_sees_names_at_once(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store")
    store.save("g/t", [{"x": 0}])
    store.save("g/t", [{"x": 1}])
    assert store.tags("g/t") == store.stages("g/t") == ()
    other = """
        store.tag("g/t", 0, "prod")
        store.stage("g/t", [{"x": 7}], "try", mode="append")
    """
    with process(other, store.path) as running:
        assert running.wait(60) == 0
    assert store.read("g/t@prod").to_polars()["x"].to_list() == [0]
    assert store.read("g/t@try").to_polars()["x"].to_list() == [1, 7]


@pytest.mark.slow
def test_no_vacuum_of_another_process_takes_what_was_just_tagged(tmp_path, figure):
    store = tiffin.FeatureStore(tmp_path / "store")
    store.save("g/t", [{"x": 0}])
    other = """
        print("begun", flush=True)
        while True:
            version = store.save("g/t", [{"x": store.describe("g/t").version + 1}]).version
            store.vacuum("g/t", keep_versions=1)
    """
    with process(other, store.path) as running:
        assert running.stdout.readline() == "begun\n"
        try:
            tagged = 0
            for number in range(ROUNDS):
                version = store.describe("g/t").version
                name = f"t{number % 3}"
                try:
                    store.tag("g/t", version, name, move=True)
                except VersionNotFound:
                    continue
                tagged += 1
                for _ in range(3):
                    assert store.read(f"g/t@{name}", use_cache=False).to_polars()["x"].to_list() == [version]
        finally:
            running.kill()
    assert tagged > ROUNDS // 4
    figure(f"{tagged} versions tagged beside a process that saves and vacuums all others, 0 lost")
    assert store.examine("g/t") == []


@pytest.mark.slow
def test_two_processes_promote_each_stage_once(tmp_path, figure):
    store = tiffin.FeatureStore(tmp_path / "store", compact_files=0)
    store.save("g/t", [{"x": -1}])
    for number in range(20):
        store.stage("g/t", [{"x": number}], f"s{number}", mode="append")
    other = """
        from tiffin.errors import VersionNotFound
        print("begun", flush=True)
        for number in range(20):
            try:
                store.promote("g/t", f"s{number}")
            except VersionNotFound:
                pass
    """
    with process(other, store.path) as running:
        assert running.stdout.readline() == "begun\n"
        for number in range(20):
            try:
                store.promote("g/t", f"s{number}")
            except VersionNotFound:
                continue
        assert running.wait(60) == 0
    assert sorted(store.read("g/t").to_polars()["x"]) == list(range(-1, 20))
    assert store.stages("g/t") == ()
    figure("20 stages promoted by 2 processes at once, each once")


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_and_the_rest_is_whole_or_not_there(tmp_path, figure):
    store = tiffin.FeatureStore(tmp_path / "store", compact_files=0)
    store.save("g/t", [{"x": 0}])
    writer = """
        while True:
            version = store.describe("g/t").version
            store.tag("g/t", version, "prod", move=True)
            print("tagged", version, flush=True)
            store.stage("g/t", [{"x": version + 1}], "try", replace=True)
            print("staged", version + 1, flush=True)
            store.promote("g/t", "try")
            print("promoted", version + 1, flush=True)
    """
    chance = random.Random(7)
    for _ in range(KILLS):
        with process(writer, store.path) as running:
            lines = [running.stdout.readline().split() for _ in range(chance.randrange(1, 30))]
            running.kill()
            lines += [line.split() for line in running.stdout.read().splitlines()]
        said = {word: int(number) for word, number in lines}
        with tiffin.FeatureStore(store.path) as opened:
            newest = opened.describe("g/t").version
            assert newest >= said.get("promoted", 0)
            assert opened.tags("g/t")[0].version >= said["tagged"]
            for reference, value in (("g/t@prod", opened.tags("g/t")[0].version), ("g/t", newest)):
                assert opened.read(reference).to_polars()["x"].to_list() == [value]
            for stage in opened.stages("g/t"):
                assert opened.read(stage.reference).to_polars()["x"].to_list() == [stage.base + 1]
            assert opened.examine("g/t") == []
    figure(f"{KILLS} kills while versions are tagged, staged and promoted, 0 lost, 0 torn")
