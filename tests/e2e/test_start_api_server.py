"""`start_api_server`: the store's own server, which ends with the program that started it."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import tiffin
from faults.test_kill import wait_for
from tiffin.errors import StorageError
from tiffin.simple import FeatureStoreClient, SimpleFeatureStore


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


_PROGRAM = """
import sys, threading, tiffin.simple
store = tiffin.simple.SimpleFeatureStore(sys.argv[1], memory_cache_size=3)
thread = threading.Thread(target=store.start_api_server, args=("127.0.0.1", int(sys.argv[2])), daemon=True)
thread.start()
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["it finishes", "it is killed"])
def test_the_server_answers_and_ends_with_its_program(tmp_path: Path, port: int, end: str):
    SimpleFeatureStore(tmp_path / "store").save_features("user", {"ratings": _frame()})
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "store"), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as program:
        try:
            wait_for(lambda: answers(port), "the server to answer")
            client = FeatureStoreClient(f"http://127.0.0.1:{port}")
            assert client.get_feature("user", "ratings")["data"] == [{"entity_id": 7, "mean": 4.5}]
            assert client.stats().memory_cache["max_size"] == 3
            client.close()
        finally:
            program.kill() if end == "it is killed" else program.stdin.close()
    wait_for(lambda: not answers(port), "the server to end")


def test_a_server_that_cannot_start_is_told_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    store = tiffin.FeatureStore(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StorageError, match="status 1"):
        store.start_api_server(port=taken.getsockname()[1])
    assert "cannot listen" in capfd.readouterr().err


def _frame() -> object:
    import pandas as pd

    return pd.DataFrame({"entity_id": [7], "mean": [4.5]})
