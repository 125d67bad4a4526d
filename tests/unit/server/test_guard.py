"""The guard before an app that does as it is told: every limit and refusal, without sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import pytest
import zstandard

from tiffin.access import keys, keys_of
from tiffin.errors import InvalidInputError
from tiffin.server.edge import guard as guard_module
from tiffin.server.edge.guard import Guard
from tiffin.server.edge.logs import Journal, Lines, journal_of
from tiffin.server.edge.metrics import Metrics
from tiffin.server.options import Limits, ServerOptions, limits_of
from tiffin.server.problems import Problems


class App:
    """Answers with the body it was sent; does as the path says."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.scopes: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        scope["route"] = msgspec.defstruct("Route", ["path"])("/template")
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.seen.append(body)
        if scope["path"] == "/wait":
            await self.go_on.wait()
        if scope["path"] == "/stuck":
            with suppress(asyncio.CancelledError):
                await self.go_on.wait()
            await self.go_on.wait()
        if scope["path"] == "/write":
            scope["state"]["caller"].require("write", ["user/ratings"])
        if scope["path"] == "/rows":
            scope["state"]["rows"] = 42
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Guarded:
    """A guard with its app, and what came of it."""

    def __init__(self, folder, **options):
        options["limits"] = Limits(**options.get("limits", {}))
        self.folder = folder
        self.app = App()
        self.keys = keys_of(folder)
        self.metrics = Metrics()
        self.options = ServerOptions(**options)
        self.guard = Guard(
            Problems(self.app), self.options, self.keys, metrics=self.metrics, journal=journal_of(self.options, folder)
        )

    def ask(self, method="GET", path="/", **sent) -> httpx.Response:
        async def asked():
            async with self.client() as client:
                return await client.request(method, path, **sent)

        return asyncio.run(asked())

    def client(self, host="127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.guard, client=("127.0.0.1", 5))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8001", timeout=20)

    def audited(self):
        file = self.folder / "logs" / "audit.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "LOOK_EVERY_S", 0)
    return lambda **options: Guarded(tmp_path, **options)


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


# Who may call


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8001", "localhost:8001", "LOCALHOST", "[::1]:8001", "10.1.2.3", "other.example"]
)
def test_names_that_cannot_have_been_rebound_are_answered(guarded, host):
    assert guarded(allowed_hosts=("other.example",)).ask(headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "", "localhost.evil.example"]
)
def test_a_name_that_was_rebound_is_refused(guarded, host):
    it = guarded()
    answer = it.ask(headers={"Host": host})
    assert answer.status_code == 403
    assert "allowed-host" in problem(answer)["hint"]
    assert it.app.scopes == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:9000"])
def test_a_page_of_another_origin_gets_nothing_by_any_method(guarded, method, origin):
    it = guarded()
    answer = it.ask(method, headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"})
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert it.app.scopes == []


def test_our_own_pages_may_call(guarded):
    assert guarded().ask("POST", headers={"Origin": "http://127.0.0.1:8001"}).status_code == 200


def test_an_origin_that_was_allowed_may_call_and_no_other_is_reflected(guarded):
    it = guarded(cors_origins=("https://app.example",))
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = it.ask("OPTIONS", "/tables", headers=asked)
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert it.app.scopes == []
    answer = it.ask(headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in answer.headers
    assert it.ask(headers={"Origin": "https://app.example.evil"}).status_code == 403


def test_a_star_is_no_origin():
    with pytest.raises(InvalidInputError):
        ServerOptions(cors_origins=("*",))


# Who it is


def test_without_keys_this_machine_may_do_everything(guarded):
    it = guarded()
    assert it.ask("POST", "/write").status_code == 200


def test_with_keys_one_must_be_shown(guarded):
    it = guarded()
    _, secret = it.keys.create("a", ["write"])
    refused = it.ask("POST", "/write")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert problem(refused)["code"] == "unauthenticated"
    assert it.app.scopes == []
    assert it.ask("POST", "/write", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_other_machines_are_never_served_without_a_key_even_if_the_keys_are_gone(guarded):
    assert guarded(host="10.0.0.5").ask("POST", "/write").status_code == 401
    assert guarded(host="10.0.0.5", insecure=True).ask("POST", "/write").status_code == 200


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", "Bearer tfn_guess", "Basic dGZu", "tfn_guess", "Bearer " + "x" * 5000, "Bearer \xff"],
)
def test_guessed_keys_are_refused_even_where_none_is_needed(guarded, shown):
    it = guarded()
    it.keys.create("a", ["read"])
    for path in ("/tables", "/health"):
        assert it.ask("GET", path, headers={"Authorization": shown.encode("latin-1")}).status_code == 401


def test_the_state_and_the_documentation_are_open_to_all_and_what_looks_like_them_is_not(guarded):
    it = guarded()
    it.keys.create("a", ["read"])
    for path in ("/health", "/ready", "/docs", "/redoc", "/openapi.json"):
        assert it.ask("GET", path).status_code == 200
    for path in ("/healthy", "/health/", "/docsx", "/metrics", "//health", "/tables"):
        assert it.ask("GET", path).status_code == 401


def test_damaged_keys_let_nobody_in_and_the_server_still_says_that_it_lives(guarded, tmp_path):
    it = guarded()
    it.keys.create("a", ["read"])
    (tmp_path / "config" / "keys.json").write_text("{")
    for path in ("/tables", "/ready"):
        assert problem(it.ask("GET", path))["code"] == "corrupt_data"
    assert it.ask("GET", "/health").status_code == 200


def test_keys_that_went_away_with_their_disk_open_nothing(guarded, tmp_path):
    it = guarded()
    it.keys.create("a", ["read"])
    assert it.ask("GET", "/tables").status_code == 401
    (tmp_path / "config").rename(tmp_path / "elsewhere")
    assert it.ask("GET", "/tables").status_code == 500
    (tmp_path / "elsewhere").rename(tmp_path / "config")
    assert it.ask("GET", "/tables").status_code == 401
    (tmp_path / "config" / "keys.json").unlink()
    assert it.ask("GET", "/tables").status_code == 200


def test_who_has_shown_no_key_cannot_do_what_needs_one_even_on_an_open_path(guarded):
    it = guarded()
    it.keys.create("a", ["read"])
    it.ask("GET", "/health")
    caller = it.app.scopes[0]["state"]["caller"]
    assert not caller.may("read")
    assert not caller.sees("user/ratings")


def test_a_key_does_no_more_than_its_scope_and_groups_say(guarded):
    it = guarded()
    for name, scopes, groups, expected in (
        ("reader", ["read"], ["*"], 403),
        ("other", ["write"], ["movie*"], 403),
        ("writer", ["write"], ["us?r"], 200),
        ("admin", ["admin"], ["*"], 200),
    ):
        _, secret = it.keys.create(name, scopes, groups)
        answer = it.ask("POST", "/write", headers={"Authorization": f"bearer {secret}"})
        assert answer.status_code == expected, name


def test_a_revoked_key_is_refused_by_a_running_server(guarded):
    it = guarded()
    _, secret = it.keys.create("a", ["read"])
    shown = {"Authorization": f"Bearer {secret}"}
    assert it.ask(headers=shown).status_code == 200
    keys_of(it.folder).revoke("a")
    assert it.ask(headers=shown).status_code == 401


def test_a_header_that_means_two_things_is_refused(guarded):
    for name in ("Authorization", "Idempotency-Key"):
        answer = guarded().ask(headers=[("Host", "127.0.0.1"), (name, "a"), (name, "b")])
        assert answer.status_code == 400


# Bodies


async def in_pieces(data: bytes, size: int = 50):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("is_length_said", [True, False])
def test_a_body_may_be_as_large_as_the_limit_and_not_a_byte_larger(guarded, is_length_said):
    it = guarded(limits={"body_bytes": 1000})
    for size, status in ((1000, 200), (1001, 413)):
        body = b"a" * size
        answer = it.ask("POST", content=body if is_length_said else in_pieces(body))
        assert answer.status_code == status
    assert problem(answer)["code"] == "too_large"
    assert it.app.seen == [b"a" * 1000]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
@pytest.mark.parametrize("is_length_said", [True, False])
def test_compressed_bodies_reach_the_app_plain(guarded, encoding, compress, is_length_said):
    it = guarded()
    plain = b"feature" * 10_000
    body = compress(plain)
    answer = it.ask("POST", content=body if is_length_said else in_pieces(body), headers={"Content-Encoding": encoding})
    assert answer.status_code == 200
    assert it.app.seen == [plain]
    assert b"content-encoding" not in dict(it.app.scopes[0]["headers"])


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_a_bomb_is_too_large_before_it_has_filled_the_memory(guarded, encoding, compress):
    it = guarded(limits={"decompressed_bytes": 100_000})
    assert it.ask("POST", content=compress(bytes(100_000)), headers={"Content-Encoding": encoding}).status_code == 200
    answer = it.ask("POST", content=compress(bytes(50_000_000)), headers={"Content-Encoding": encoding})
    assert answer.status_code == 413
    assert len(it.app.seen) == 1


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(b"a" * 1000, mtime=0)[:-9], 400),
        ("gzip", gzip.compress(b"a", mtime=0) + b"more", 400),
        ("gzip", b"not gzip", 400),
        ("gzip", b"", 400),
        ("zstd", zstandard.compress(b"abc" * 1000)[:-2], 400),
        ("zstd", zstandard.compress(b"a") * 2, 400),
        ("zstd", b"not zstd", 400),
        ("br", b"a", 415),
        ("gzip, gzip", b"a", 415),
    ],
)
def test_a_body_that_is_not_whole_or_not_what_it_says_is_refused(guarded, encoding, body, status):
    it = guarded()
    assert it.ask("POST", content=body, headers={"Content-Encoding": encoding}).status_code == status
    assert it.app.seen == []


def test_the_bodies_under_way_have_a_bound_together_and_are_counted_out_again(guarded):
    it = guarded(limits={"all_bodies_bytes": 1500, "body_bytes": 1000})

    async def both():
        async with it.client() as client:
            first = asyncio.create_task(client.post("/wait", content=b"a" * 1000))
            while not it.app.seen:
                await asyncio.sleep(0)
            second = await client.post("/", content=b"a" * 1000)
            it.app.go_on.set()
            return (await first).status_code, second

    status, second = asyncio.run(both())
    assert status == 200
    assert second.status_code == 503
    assert second.headers["retry-after"]
    assert it.ask("POST", content=b"a" * 1000).status_code == 200


# How many, and how long


def test_one_request_too_many_is_told_to_try_again_and_health_is_answered_all_the_same(guarded):
    it = guarded(limits={"concurrent_requests": 2})

    async def crowd():
        async with it.client() as client:
            waiting = [asyncio.create_task(client.get("/wait")) for _ in range(2)]
            while len(it.app.seen) < 2:
                await asyncio.sleep(0)
            refused, health = await client.get("/"), await client.get("/health")
            it.app.go_on.set()
            return refused, health, [answer.status_code for answer in await asyncio.gather(*waiting)]

    refused, health, waited = asyncio.run(crowd())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert problem(refused)["code"] == "busy"
    assert health.status_code == 200
    assert waited == [200, 200]
    assert it.ask().status_code == 200


@pytest.mark.parametrize("path", ["/wait", "/stuck"])
def test_what_takes_too_long_is_answered_even_if_it_cannot_be_stopped(guarded, monkeypatch, path):
    monkeypatch.setattr(guard_module, "_TICK_S", 0.02)
    it = guarded(limits={"request_s": 0.05})
    answers = []

    async def asked():
        async def send(message):
            answers.append(message)
            if path == "/stuck" and message["type"] == "http.response.body":
                it.app.go_on.set()

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "client": ("127.0.0.1", 1)}
        await it.guard(scope, receive, send)

    asyncio.run(asked())
    assert [message.get("status") for message in answers] == [504, None]
    assert json.loads(answers[1]["body"])["code"] == "timed_out"


def test_what_a_stopping_server_waits_for_no_longer_is_answered_in_the_same_shape(guarded):
    it = guarded()

    async def asked():
        async with it.client() as client:
            asking = asyncio.create_task(client.get("/wait"))
            while not it.app.seen:
                await asyncio.sleep(0)
            asking.cancel()
            return await asking

    answer = asyncio.run(asked())
    assert answer.status_code == 504
    assert problem(answer)["code"] == "timed_out"


# On the way back


def test_answers_tell_browsers_to_keep_off(guarded):
    it = guarded()
    headers = it.ask().headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    page = it.ask("GET", "/docs").headers["content-security-policy"]
    assert "default-src 'self'" in page
    assert "http" not in page


@pytest.mark.parametrize(("given", "is_kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("<b>", False)])
def test_a_sane_request_id_is_taken_over_and_any_other_is_not(guarded, given, is_kept):
    it = guarded()
    answer = it.ask(headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) == is_kept
    assert it.app.scopes[0]["state"]["request_id"] == answer.headers["x-request-id"]


def test_request_ids_differ(guarded):
    it = guarded()
    assert len({it.ask().headers["x-request-id"] for _ in range(5)}) == 5


def test_writes_and_refusals_are_audited_and_reads_are_not(guarded):
    it = guarded()
    it.ask()
    _, secret = it.keys.create("trainer", ["write"])
    it.ask("POST", "/write", headers={"Authorization": f"Bearer {secret}"})
    it.ask("POST", "/write", headers={"Authorization": "Bearer tfn_guess\x7f"})
    written, refused = it.audited()
    assert (written["event"], written["key"], written["tables"], written["status"]) == (
        "write", "trainer", ["user/ratings"], 200,
    )  # fmt: skip
    assert (refused["event"], refused["key"], refused["status"]) == ("refused", "nobody", 401)
    assert written["client"] == "127.0.0.1"
    text = (it.folder / "logs" / "audit.jsonl").read_text()
    assert secret not in text
    assert "tfn_" not in text


def test_guessing_keys_does_not_fill_the_disk(guarded):
    it = guarded()
    it.keys.create("a", ["read"])
    for _ in range(60):
        it.ask(headers={"Authorization": "Bearer tfn_guess"})
    lines = it.audited()
    assert len(lines) < 40
    assert sum(line.get("left_out_before", 0) for line in lines) <= 60 - len(lines)


def test_the_access_log_has_a_line_per_request_without_queries_and_control_characters(guarded, tmp_path):
    log = tmp_path / "access.jsonl"
    it = guarded(access_log=str(log))
    it.ask("GET", "/a%0d%0a\x9b%1b[31m?key=tfn_secret", headers={"Authorization": "Bearer tfn_secret"})
    line = json.loads(log.read_text())
    assert (line["status"], line["method"], line["route"]) == (200, "GET", "/template")
    assert log.read_text().count("\n") == 1
    assert "tfn_secret" not in log.read_text()
    assert all(31 < ord(letter) < 127 for letter in log.read_text().rstrip("\n"))


def test_a_log_that_cannot_be_written_fails_no_request(tmp_path, caplog):
    lines = Lines(tmp_path / "missing" / "access.jsonl")
    guard = Guard(App(), ServerOptions(), keys_of(tmp_path), journal=Journal(access=lines))

    async def asked():
        transport = httpx.ASGITransport(guard, client=("127.0.0.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/")

    assert asyncio.run(asked()).status_code == 200
    assert "cannot write to the log" in caplog.text


def test_a_log_with_a_bound_is_put_by_when_it_is_full_and_the_oldest_goes(tmp_path):
    bounded, unbounded = Lines(tmp_path / "audit.jsonl", 200), Lines(tmp_path / "access.jsonl")
    for number in range(60):
        bounded.write(number=number)
        unbounded.write(number=number)

    def numbers(name):
        return [json.loads(line)["number"] for line in (tmp_path / name).read_text().splitlines()]

    assert numbers("access.jsonl") == [*range(60)]
    newest_first = ["audit.jsonl", *(f"audit.{number}.jsonl" for number in range(1, 9))]
    kept = [numbers(name) for name in newest_first if (tmp_path / name).exists()]
    assert [number for several in reversed(kept) for number in several] == [*range(60 - sum(map(len, kept)), 60)]
    assert all((tmp_path / name).stat().st_size <= 300 for name in newest_first if (tmp_path / name).exists())
    assert sorted(path.name for path in tmp_path.glob("audit*jsonl")) == sorted(
        name for name in newest_first if (tmp_path / name).exists()
    )
    assert 8 * 4 <= sum(map(len, kept)) < 60


def test_many_who_put_a_full_log_by_at_once_lose_no_line(tmp_path):
    def write(worker):
        lines = Lines(tmp_path / "audit.jsonl", 1_000)
        for number in range(20):
            lines.write(worker=worker, number=number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = [json.loads(line) for path in tmp_path.glob("audit*.jsonl") for line in path.read_text().splitlines()]
    assert {(one["worker"], one["number"]) for one in found} == {(a, b) for a in range(4) for b in range(20)}
    assert len(found) == 80


def test_figures_go_by_the_template_of_a_route_and_never_by_what_was_asked(guarded):
    it = guarded()
    for number in range(20):
        it.ask("GET", f"/rows/{number}")
    it.ask("GET", "/rows")
    it.ask("BREW", "/coffee")
    it.ask("POST", "/write")
    it.ask(headers={"Host": "evil.example"})
    told = it.metrics.exposition().decode()
    assert 'tiffin_request_seconds_count{method="GET",route="/template",status="200"} 21.0' in told
    assert 'tiffin_request_seconds_count{method="other",route="/template",status="200"} 1.0' in told
    assert 'tiffin_request_seconds_count{method="GET",route="refused",status="403"} 1.0' in told
    assert 'tiffin_rows_served_total{route="/template"} 42.0' in told
    assert 'tiffin_write_seconds_count{route="/template"} 1.0' in told
    assert "/rows/" not in told
    assert "evil" not in told
    # What was told once is not told again, and what came after is.
    it.ask("GET", "/rows")
    told = it.metrics.exposition().decode()
    assert 'tiffin_request_seconds_count{method="GET",route="/template",status="200"} 22.0' in told
    assert 'tiffin_request_seconds_bucket{le="+Inf",method="GET",route="/template",status="200"} 22.0' in told
    assert 'tiffin_rows_served_total{route="/template"} 84.0' in told


# Options


def test_options_travel_as_json():
    options = ServerOptions(host="::1", cors_origins=("https://a.example",), limits=Limits(entities=5))
    assert msgspec.json.decode(msgspec.json.encode(options), type=ServerOptions) == options


@pytest.mark.parametrize(
    ("host", "is_loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.1.2.3", True),
                              ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("tiffin.example", False)]
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, is_loopback):
    assert ServerOptions(host=host).is_loopback == is_loopback


@pytest.mark.parametrize(
    "wrong", [{"port": 70_000}, {"workers": 0}, {"tls_key": "a"}, {"cors_origins": ("https://a.example/",)}]
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        ServerOptions(**wrong)


def test_limits_are_read_as_people_write_them():
    limits = limits_of(["body_bytes=1MiB", "request_s=2m", "entities=5"])
    assert (limits.body_bytes, limits.request_s, limits.entities) == (1 << 20, 120, 5)
    for wrong in ("body_bites=1", "body_bytes=0", "entities=many", "entities"):
        with pytest.raises(InvalidInputError):
            limits_of([wrong])
