"""`tiffin serve` and `tiffin keys` from the outside: starting, keys, TLS, workers, logs, stopping."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest
from typer.testing import CliRunner

import tiffin
from served import PATIENCE_S, Served, certified, served, trusting, wait_until
from tiffin.access.keys import LOOK_EVERY_S
from tiffin.cli.app import app
from tiffin.server.supervisor import LAST_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("edge") / "store"
    with tiffin.FeatureStore(folder) as store:
        store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id", online=True)
        store.save("movie/budgets", [{"movie_id": 1, "budget": 10}], entity="movie_id")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """A server of two workers; its keys are made while it runs."""
    with served(folder, "--workers=2", limits={"body_bytes": 10_000}, errors=folder / "errors.txt") as server:
        yield server


def tiffin_cli(folder: Path, *arguments: str, status: int = 0):
    done = CliRunner().invoke(app, ["--store", str(folder), "--json", *arguments], prog_name="tiffin")
    assert done.exit_code == status, done.output
    return json.loads(done.output)


def workers(server: Served) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in children if is_alive(child) and "spawn_main" in command_of(child)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has ended between the two
        return False


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def let_it_be_noticed() -> None:
    """Wait for what is promised of every worker: a time."""
    time.sleep(LOOK_EVERY_S)


def count(text: str, begin: str) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(begin))


# One server for these, in this order: the first ask without a key.


def test_figures_are_of_all_workers_and_survive_the_death_of_one(server):
    def asked() -> float:
        return count(server.get("/metrics").text, 'tiffin_request_seconds_count{method="GET",route="/tables"')

    assert len(workers(server)) == 2
    for _ in range(20):
        assert server.get("/tables").status_code == 200
    # Each worker tells the others once a second what it has counted.
    wait_until(lambda: asked() == 20)
    assert count(server.get("/metrics").text, 'tiffin_online_lag_versions{table="user/ratings"}') == 0
    dead, _ = workers(server)
    dead.kill()
    wait_until(lambda: len([each for each in workers(server) if each.pid != dead.pid]) == 2)
    wait_until(lambda: asked() >= 20)
    assert count(server.get("/metrics").text, "tiffin_requests_in_flight ") <= 1


def test_a_key_closes_a_running_server_and_opens_what_it_covers(server, folder):
    assert server.get("/tables").status_code == 200
    key = tiffin_cli(folder, "keys", "create", "trainer", "--scope", "write", "--group", "user", "--expires", "1d")
    assert key["scopes"] == ["write"]
    let_it_be_noticed()
    assert server.get("/tables").status_code == 401
    shown = {"Authorization": f"Bearer {key['secret']}"}
    assert server.get("/tables/user/ratings", headers=shown).status_code == 200
    assert server.get("/tables/movie/budgets", headers=shown).status_code == 403
    assert "movie" not in server.get("/tables", headers=shown).text
    rows = {"rows": [{"user_id": 8, "mean": 1.0}]}
    saved = httpx.post(f"{server.url}/tables/user/ratings?mode=append", json=rows, headers=shown)
    assert saved.status_code in {200, 201}, saved.text
    assert httpx.post(f"{server.url}/vacuum", headers=shown).status_code == 403
    lines = [json.loads(line) for line in (folder / "logs" / "audit.jsonl").read_text().splitlines()]
    (write,) = [line for line in lines if line["event"] == "write" and line["status"] < 300]
    assert (write["key"], write["tables"]) == ("trainer", ["user/ratings"])
    assert key["secret"] not in (folder / "logs" / "audit.jsonl").read_text()
    tiffin_cli(folder, "keys", "revoke", "trainer")
    let_it_be_noticed()
    assert server.get("/tables/user/ratings", headers=shown).status_code == 401
    (listed,) = tiffin_cli(folder, "keys", "list")
    assert "sha256" not in listed
    assert listed["revoked"]


def test_what_the_server_says_of_itself_tells_no_trace_to_callers(server, folder):
    answer = server.get("/tables/a%00b/c", headers={"Authorization": "Bearer tfn_x"})
    assert answer.status_code == 401
    assert str(folder) not in answer.text
    assert "Traceback" not in (folder / "errors.txt").read_text()


def test_requests_under_way_are_finished_when_the_server_is_stopped(server, folder):
    key = tiffin_cli(folder, "keys", "create", "last", "--scope", "write")
    body = json.dumps({"rows": [{"user_id": 9, "mean": 2.0}]}).encode()
    head = (
        f"POST /tables/user/ratings?mode=append HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key['secret']}\r\nConnection: close\r\n\r\n"
    )
    let_it_be_noticed()
    with server.connect() as connection:
        connection.sendall(head.encode() + body[:5])
        wait_until(lambda: count(server.get("/metrics", headers={"Authorization": f"Bearer {key['secret']}"}).text,
                                 "tiffin_requests_in_flight ") >= 2)  # fmt: skip
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_closed(server))
        connection.sendall(body[5:])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 20")
    assert server.process.wait(PATIENCE_S) == 0
    assert 9 in tiffin.FeatureStore(folder).read("user/ratings").to_polars()["user_id"].to_list()
    assert list((folder / "cache" / "metrics").iterdir()) == []


def is_closed(server: Served) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


# Servers of their own


def test_other_machines_are_not_served_without_a_key(tmp_path):
    told = tiffin_cli(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", status=1)["error"]
    assert told["code"] == "invalid_input"
    assert "tiffin keys create" in told["hint"]
    assert "--insecure" in told["hint"]


def test_what_is_wrong_is_said_before_anything_is_served(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "--port" in tiffin_cli(tmp_path, "serve", "--port", port, status=1)["error"]["hint"]
    (tmp_path / "no.pem").write_text("no certificate")
    pem = str(tmp_path / "no.pem")
    for wrong in (
        ["--tls-certificate", pem],
        ["--tls-certificate", pem, "--tls-key", pem],
        ["--limit", "rows=1"],
        ["--access-log", str(tmp_path / "missing" / "log")],
    ):
        assert tiffin_cli(tmp_path, "serve", "--port", "0", *wrong, status=1)["error"]["message"]


@pytest.mark.slow
def test_a_server_of_one_process_speaks_tls_logs_and_is_ended_by_a_second_signal(tmp_path):
    certificate, key = certified(tmp_path)
    log = tmp_path / "access.jsonl"
    options = [f"--tls-certificate={certificate}", f"--tls-key={key}", f"--access-log={log}"]
    with served(tmp_path / "store", *options, limits={"head_s": "500ms"}) as server:
        assert server.url.startswith("https://")
        assert httpx.get(server.url + "/health", verify=trusting(certificate)).status_code == 200
        wait_until(lambda: log.read_text() != "")
        assert json.loads(log.read_text())["path"] == "/health"
        with server.connect() as silent:
            # Not even a handshake is waited for very long.
            assert silent.recv(1) == b""
        context = trusting(certificate)
        with server.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(
                b"POST /tables/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: text/csv\r\n\r\n"
            )
            wait_until(lambda: count(
                httpx.get(server.url + "/metrics", verify=context).text, "tiffin_requests_in_flight ") >= 2
            )  # fmt: skip
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_closed(server))
            assert server.process.poll() is None
            assert server.stop() == 128 + signal.SIGTERM


@pytest.mark.slow
def test_workers_do_not_outlive_their_supervisor(tmp_path):
    with served(tmp_path / "store", "--workers=2") as server:
        orphans = workers(server)
        assert len(orphans) == 2
        server.process.kill()
        wait_until(lambda: not any(is_alive(each) for each in orphans))
        folder = tmp_path / "store" / "cache" / "metrics"
        (left,) = folder.iterdir()
        with served(tmp_path / "store", "--workers=2"):
            assert left not in folder.iterdir()


IMPATIENT = """
import sys
from tiffin.server.options import ServerOptions
from tiffin.server.run import serve

options = ServerOptions(port=0, workers=int(sys.argv[2]), shutdown_s=1)
serve(sys.argv[1], options, ready=lambda url: print(url, flush=True))
"""


@contextmanager
def impatient(folder: Path, workers: int) -> Iterator[Served]:
    """A server that gives requests one second to finish when it is stopped."""
    command = [sys.executable, "-c", IMPATIENT, str(folder), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield Served(process, process.stdout.readline().strip())
        finally:
            process.kill()


def ends_in_time(server: Served) -> bool:
    start = time.monotonic()
    return server.stop() == 0 and time.monotonic() - start < 1 + LAST_S + 4


@pytest.mark.slow
def test_a_thread_that_never_ends_does_not_keep_a_server_from_ending(tmp_path):
    folder = tmp_path / "store"
    with tiffin.FeatureStore(folder) as store:
        store.save("user/ratings", [{"user_id": 7, "mean": 4.5}])
        store.create_service("stuck", ["user/ratings:mean"])
    # Who opens a pipe to read waits until somebody opens it to write.
    (pipe,) = folder.glob("registry/**/stuck.json")
    pipe.unlink()
    os.mkfifo(pipe)
    with impatient(folder, 1) as server, server.connect() as connection:
        connection.sendall(b"GET /services/stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: count(server.get("/metrics").text, "tiffin_requests_in_flight ") >= 2)
        assert ends_in_time(server)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 504")


def test_rows_in_any_form_load_no_pandas(tmp_path):
    """It takes a quarter of a second of somebody's request, and memory for good."""
    assert importlib.util.find_spec("pandas") is not None
    frame = pl.DataFrame({"id": [1, 2], "x": [0.5, None], "name": ["a", "é"]})
    (arrow, parquet) = (io.BytesIO(), io.BytesIO())
    frame.write_ipc_stream(arrow)
    frame.write_parquet(parquet)
    bodies = {
        "application/json": json.dumps({"rows": [{"id": 1, "x": 1, "name": "a"}, {"id": 2, "x": 0.5}]}).encode(),
        "text/csv": frame.write_csv().encode(),
        "application/vnd.apache.arrow.stream": arrow.getvalue(),
        "application/vnd.apache.parquet": parquet.getvalue(),
    }
    with served(tmp_path / "store") as server:
        for media, body in bodies.items():
            saved = httpx.post(f"{server.url}/tables/form/t?mode=append", content=body, headers={"Content-Type": media})
            assert saved.status_code in {200, 201}, saved.text
            assert server.get("/features/form/t", headers={"Accept": media}).status_code == 200
        loaded = {mapped.path for mapped in psutil.Process(server.process.pid).memory_maps()}
    assert any("polars" in path for path in loaded)
    assert not [path for path in loaded if "/pandas/" in path]


def test_the_caches_can_be_deleted_under_a_running_server(tmp_path):
    with served(tmp_path / "store", "--workers=2") as server:
        shutil.rmtree(tmp_path / "store" / "cache")
        row = {"rows": [{"id": 1}]}
        assert httpx.post(f"{server.url}/tables/g/t", json=row).status_code == 200
        written = 'tiffin_write_seconds_count{route="/tables/{group}/{name}"}'
        wait_until(lambda: count(server.get("/metrics").text, written) == 1)
        assert '"event":"write"' in (tmp_path / "store" / "logs" / "audit.jsonl").read_text().replace(" ", "")
        dead, _ = workers(server)
        dead.kill()
        wait_until(lambda: len([each for each in workers(server) if each.pid != dead.pid]) == 2)
        wait_until(lambda: count(server.get("/metrics").text, "tiffin_request_seconds_count") > 0)
        assert server.stop() == 0


def test_the_figures_make_no_folder_where_the_store_was(tmp_path):
    with served(tmp_path / "store", "--workers=2") as server:
        (tmp_path / "store").rename(tmp_path / "away")
        assert server.get("/metrics").status_code == 503
        assert not (tmp_path / "store").exists()
        (tmp_path / "away").rename(tmp_path / "store")
        assert server.get("/metrics").status_code == 200


def test_a_server_whose_workers_cannot_be_replaced_ends_with_a_failure(tmp_path):
    errors = tmp_path / "errors.txt"
    with served(tmp_path / "store", "--workers=2", errors=errors) as server:
        (tmp_path / "store" / "config").mkdir(exist_ok=True)
        (tmp_path / "store" / "config" / "tiffin.toml").write_text("keep_versions = many\n")
        workers(server)[0].kill()
        assert server.process.wait(3 * PATIENCE_S) == 1
    assert "tiffin.toml" in errors.read_text()


@pytest.mark.slow
def test_a_hangup_replaces_the_workers_one_by_one_and_loads_a_new_certificate(tmp_path):
    certificate, key = certified(tmp_path)
    with served(tmp_path / "store", "--workers=2", f"--tls-certificate={certificate}", f"--tls-key={key}") as server:
        before = {worker.pid for worker in workers(server)}
        certified(tmp_path)
        server.process.send_signal(signal.SIGHUP)
        seen = [before]

        def are_replaced() -> bool:
            seen.append({worker.pid for worker in workers(server)})
            return len(seen[-1]) == 2 and not seen[-1] & before

        wait_until(are_replaced, 90)
        assert min(map(len, seen)) == 2
        shown = {ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(server.address)) for _ in range(20)}
        assert shown == {ssl.PEM_cert_to_DER_cert(certificate.read_text())}


@pytest.mark.slow
def test_a_worker_that_does_not_listen_does_not_keep_a_hangup_from_replacing_it(tmp_path):
    with impatient(tmp_path / "store", 2) as server:
        before = {worker.pid for worker in workers(server)}
        workers(server)[0].suspend()
        server.process.send_signal(signal.SIGHUP)
        # It may be asked just then whether it is well, and has half a minute to answer.
        wait_until(lambda: len({worker.pid for worker in workers(server)} - before) == 2, 90)
        assert server.get("/tables").status_code == 200


@pytest.mark.slow
def test_a_worker_that_does_not_listen_any_more_does_not_keep_the_others_from_ending(tmp_path):
    with impatient(tmp_path / "store", 2) as server:
        deaf, _ = workers(server)
        deaf.suspend()
        assert ends_in_time(server)
        assert not is_alive(deaf)
