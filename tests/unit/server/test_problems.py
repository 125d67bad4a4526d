"""Errors over HTTP: the status of every class, one shape, and nothing of the server's inside."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import httpx
import pytest
from polars.exceptions import PanicException
from starlette.requests import ClientDisconnect

import tiffin
from app_client import AppClient
from tiffin import errors
from tiffin.errors import CorruptData, NoSpace, StorageError, TiffinError
from tiffin.server.app import create_app
from tiffin.server.options import ServerOptions
from tiffin.server.problems import Problems, answer_of
from tiffin.server.status import headers_of, public, status_of
from tiffin.store import FeatureStore
from tiffin.wire import Problem, decode, to_error
from tiffin.wire.media import PROBLEM

STATUSES = {
    "TiffinError": 500, "NotFoundError": 404, "TableNotFound": 404, "FeatureNotFound": 404, "VersionNotFound": 404,
    "ServiceNotFound": 404, "TrainingSetNotFound": 404, "NotOnline": 404, "InvalidInputError": 422,
    "InvalidName": 422, "SchemaMismatch": 422, "ConstraintViolated": 422, "ConflictError": 409, "CommitConflict": 409,
    "Ambiguous": 409, "InUse": 409, "NotReproducible": 409, "AccessError": 403, "Unauthenticated": 401,
    "Forbidden": 403, "LimitError": 413, "TooLarge": 413, "TooMany": 429, "Busy": 503, "TooSlow": 408, "TimedOut": 504,
    "StorageError": 500, "CorruptData": 500, "NoSpace": 507, "OutcomeUnknown": 500, "IndexDamaged": 500,
    "OnlineUnavailable": 503, "UnavailableError": 501, "MissingDependency": 501,
    "Unreachable": 501,
}  # fmt: skip


def kinds(base: type[TiffinError] = TiffinError) -> list[type[TiffinError]]:
    found = [base] if base.__module__ == errors.__name__ else []
    return found + [one for kind in base.__subclasses__() for one in kinds(kind)]


def test_every_error_has_its_status():
    assert {kind.__name__: status_of(kind("x")) for kind in kinds()} == STATUSES


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_is_rebuilt_from_its_answer(kind):
    status, body = answer_of(kind("what is wrong", hint="what to do"), "id-1")
    problem = decode(body, Problem)
    assert (problem.status, problem.code, problem.request_id) == (status, kind.code, "id-1")
    assert type(to_error(problem)) is kind


@pytest.mark.parametrize("kind", [kind for kind in kinds() if issubclass(kind, StorageError)], ids=lambda k: k.__name__)
def test_what_a_disk_says_is_for_the_log_alone(kind, caplog):
    error = kind("cannot read '/srv/secret/features/g/t/part-0.parquet': I/O error", hint="look at /srv/secret")
    status, body = answer_of(error, "id-7")
    assert status >= 500
    assert b"secret" not in body
    assert "secret/features" in caplog.text
    assert "id-7" in caplog.text
    assert decode(body, Problem).hint


def test_the_texts_of_other_errors_reach_the_caller():
    error = errors.TableNotFound("there is no table 'g/t'", hint="did you mean 'g/u'?")
    assert public(error) is error


def test_what_a_library_says_of_itself_does_not():
    error = public(errors.InvalidInputError("no number: 'x'\n\ncontext stack: …", hint="give one", column="c"))
    assert (error.message, error.hint, error.context) == ("no number: 'x'", "give one", {"column": "c"})


def test_some_errors_say_more_in_headers():
    assert headers_of(errors.Unauthenticated("x"))["WWW-Authenticate"].startswith("Bearer")
    assert headers_of(errors.Busy("x"))["Retry-After"] == "1"
    assert headers_of(errors.TableNotFound("x")) == {}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with tiffin.FeatureStore(tmp_path_factory.mktemp("store")) as opened:
        opened.save("g/t", [{"id": 1}], entity="id")
        yield opened


@pytest.fixture(scope="module")
def client(store):
    with AppClient(create_app(store, ServerOptions())) as client:
        yield client


def shape_of(answer: httpx.Response) -> tuple[int, str, str]:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) <= {"type", "title", "status", "detail", "code", "hint", "request_id"}
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["code"], problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/tables/g/none", 404, "table_not_found"),
        ("GET", "/tables/g/%2e%2e", 422, "invalid_name"),
        ("GET", "/tables/..%2f../x", 404, "not_found"),
        ("GET", "/tables/g/a%00b", 422, "invalid_name"),
        ("GET", "/tables/g/" + "x" * 5000, 422, "invalid_name"),
        ("GET", "/tables/g/%ff%fe", 422, "invalid_name"),
        ("GET", "/tables/g/a%0d%0ab", 422, "invalid_name"),
        ("GET", "/features/g/%2e%2e/info", 422, "invalid_name"),
        ("GET", "/services/..", 404, "not_found"),
        ("GET", "/services/%2e%2e", 422, "invalid_name"),
        ("GET", "/training-sets/%2e%2e", 422, "invalid_name"),
        ("GET", "/examine?table=../x", 422, "invalid_name"),
        ("GET", "/features/g/t?limit=-1", 422, "invalid_input"),
        ("GET", "/features/g/t?limit=1&limit=2", 422, "invalid_input"),
        ("GET", "/features/g/t?lim=1", 422, "invalid_input"),
        ("GET", "/features/g/t?as_of=yesterday", 422, "invalid_input"),
        ("GET", "/features/g/t?columns=../x", 404, "feature_not_found"),
        ("GET", "/tables/g/t/history?limit=many", 422, "invalid_input"),
        ("PUT", "/tables/g/t", 405, "invalid_input"),
        ("DELETE", "/health", 405, "invalid_input"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_shape(client, store, method, path, status, code):
    found, said, detail = shape_of(client.request(method, path))
    assert (found, said) == (status, code)
    assert str(store.path) not in detail


def test_a_method_that_is_not_answered_names_all_that_are(client):
    assert client.request("PUT", "/tables/g/t").headers["allow"] == "DELETE, GET, HEAD, PATCH, POST"


def test_what_nobody_foresaw_ends_in_an_answer_and_in_the_log(client, monkeypatch, caplog):
    def fail(*_args, **_kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(FeatureStore, "describe", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/tables/g/t")
    assert shape_of(answer)[0] == 500
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(("kind", "status"), [(CorruptData, 500), (NoSpace, 507)])
def test_errors_of_the_disk_name_no_file(client, store, monkeypatch, kind, status):
    def fail(*_args, **_kwargs):
        raise kind(f"{store.path}/features/g/t/part.parquet is not what was written")

    monkeypatch.setattr(FeatureStore, "describe", fail)
    answer = client.get("/tables/g/t")
    assert shape_of(answer)[0] == status
    assert str(store.path) not in answer.text


def test_a_library_that_panics_is_answered_in_the_same_shape(client, store, monkeypatch):
    def panic(*_args, **_options):
        raise PanicException("thread panicked at /root/src")

    monkeypatch.setattr(store, "history", panic)
    answer = client.get("/tables/g/t/history")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "panicked" not in answer.text


class _Body:
    """What a request holds on to."""


@pytest.mark.parametrize(
    "failing",
    [errors.TableNotFound("no table"), ValueError("not foreseen"), ClientDisconnect()],
    ids=lambda e: type(e).__name__,
)
def test_what_a_failed_request_held_is_let_go_at_once(failing, caplog):
    # Pytest would keep what is logged, with the trace.
    caplog.set_level(logging.CRITICAL, "tiffin.server")
    held = []

    async def app(scope, receive, send):
        body = _Body()
        held.append(weakref.ref(body))
        try:
            raise failing
        except type(failing) as error:
            # As libraries do: the error knows the frame by its trace, and the frame the error.
            kept = error
            raise kept from KeyError("its cause")

    async def nothing(*_):
        return None

    async def ask():
        await Problems(app)({"type": "http", "state": {}}, nothing, nothing)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(ask())
        assert held[0]() is None
    finally:
        gc.enable()
