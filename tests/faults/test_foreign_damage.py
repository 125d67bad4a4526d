"""A table that another library wrote is damaged: errors name the file; without checksums not all can be noticed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

import tiffin
from faults import foreign_damage
from faults.hostile_uploads import frame, mutated, mutated_parquet
from tiffin.cli.files import intake
from tiffin.errors import CorruptData, TiffinError

PATIENCE_S = 250
COUNT = 400


def tried(folder: Path) -> Counter[str]:
    """Damage the table again and again in a process that may crash; what came of it."""
    command = [sys.executable, "-m", foreign_damage.__name__, str(folder / "store"), "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "RUST_BACKTRACE": "0"}
    report, first, found = folder / "report", 0, Counter[str]()
    subprocess.run([*command, "0", "-", "0"], env=environment, capture_output=True, check=True, timeout=PATIENCE_S)
    while True:
        done = subprocess.run(
            [*command, str(COUNT), str(report), str(first)],
            env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        if done.returncode == 0:
            return found + Counter(line["outcome"] for line in lines if "outcome" in line)
        assert done.returncode < 0, done.stderr
        found["crashed"] += 1
        first = lines[-1]["begin"] + 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_damage_to_what_another_library_wrote(tmp_path: Path, figure: Callable[[str], None]):
    found = tried(tmp_path)
    assert [outcome for outcome in found if outcome.startswith("WRONG") or outcome == "crashed"] == []
    figure(
        f"{COUNT} damages to files of another library: {found['told']} errors that name the file, {found['right']} "
        f"right answers, 0 crashes; checks off, as it writes no checksums: {found['unnoticed']} went unnoticed"
    )
    assert found["told"] > COUNT / 3


class TestFilesOfOthers:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "store" / "features" / "group" / "other"
        folder.mkdir(parents=True)
        for number in range(2):
            write_deltalake(folder, pl.DataFrame({"id": [number], "text": ["x" * 50]}).to_arrow(), mode="append")
        return folder

    def test_one_of_several_that_cannot_be_decoded_is_named(self, folder: Path):
        path = sorted(folder.glob("*.parquet"))[1]
        path.write_bytes(path.read_bytes()[:-9] + bytes(9))
        with pytest.raises(CorruptData, match=path.name):
            tiffin.FeatureStore(folder.parents[2]).read("group/other")

    def test_a_folder_of_parquet_files_is_not_read_in_the_place_of_one(self, folder: Path):
        path = min(folder.glob("*.parquet"))
        data = path.read_bytes()
        path.unlink()
        path.mkdir()
        for number in range(2):
            (path / f"{number}.parquet").write_bytes(data)
        with pytest.raises(CorruptData, match=f"{path.name}.* is a folder"):
            tiffin.FeatureStore(folder.parents[2]).read("group/other")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"numRecords', b'"num\xff'),
            (b'{\\"numRecords\\"', b'{\\"numRecords\\"!'),
            (b'"add":{"path":"', b'"add":{"path":"/etc/'),
            (b'"add":{"path":"', b'"add":{"path":"..%2F'),
            (b'"size":', b'"size":1e400,"s":'),
        ],
    )
    def test_a_commit_that_makes_no_sense_is_an_error_or_does_no_harm(self, folder: Path, old: bytes, new: bytes):
        path = folder / "_delta_log" / f"{0:020}.json"
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))
        try:
            found = sorted(tiffin.FeatureStore(folder.parents[2]).read("group/other").to_polars()["id"])
        except CorruptData as error:
            found = str(error)
        assert "group/other" in found or found == [0, 1]


class TestFilesThatPeopleGive:
    @pytest.mark.slow
    def test_a_damaged_file_is_an_error_and_no_traceback(self, tmp_path: Path, figure: Callable[[str], None]):
        rows = frame().select("id", "text", "value", "list")
        chosen = random.Random(1)
        bodies = [("parquet", data) for _, data in mutated_parquet(3, 150)]
        for form, whole in (("json", rows.write_json().encode()), ("csv", rows.drop("list").write_csv().encode())):
            bodies += [(form, mutated(whole, chosen)) for _ in range(100)]
        refused = 0
        for form, data in [*bodies, ("json", b"[" * 200_000), ("jsonl", b'{"a": "\xff"}\n')]:
            path = tmp_path / f"given.{form}"
            path.write_bytes(data)
            try:
                intake.load(str(path))
            except TiffinError:
                refused += 1
        figure(f"{len(bodies) + 2} damaged files given to the command line: {refused} refused, 0 tracebacks")
        assert refused > len(bodies) / 2
