"""What uvicorn's way to look after workers is mended by."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace

import uvicorn
from uvicorn.supervisors import multiprocess

from tiffin.server.supervisor import Worker, _Told


def test_a_worker_s_server_is_there_before_another_thread_asks_for_it(monkeypatch):
    worker, seen, run = Worker(uvicorn.Config("nowhere:app"), []), [], []
    begun = SimpleNamespace(start=lambda: seen.append(worker._server))
    monkeypatch.setattr(multiprocess, "threading", SimpleNamespace(Thread=lambda **_: begun))
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: run.append(server))
    worker.target([])
    assert seen == run == [worker.server]


def test_a_worker_that_dies_before_it_answers_is_not_waited_for():
    worker, told = Worker(uvicorn.Config("nowhere:app"), []), []
    worker.start()
    os.kill(worker.pid, signal.SIGSTOP)
    asking = threading.Thread(target=lambda: told.append(worker.ping(timeout=60)), daemon=True)
    asking.start()
    worker.process.kill()
    asking.join(timeout=20)
    assert told == [False]
    worker.join()


def test_a_supervisor_knows_that_it_is_to_stop_as_soon_as_a_signal_says_so():
    heard = [signal.SIGHUP, signal.SIGWINCH]
    told = _Told(heard)
    assert not told.is_set()
    heard.append(signal.SIGTERM)
    assert told.is_set()


def test_all_workers_are_such():
    assert multiprocess.Process is Worker
