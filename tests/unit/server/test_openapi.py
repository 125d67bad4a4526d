"""The OpenAPI document and its pages: complete, true, and without the internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import tiffin
from app_client import AppClient
from tiffin.server.app import create_app
from tiffin.server.document.examples import EXAMPLES
from tiffin.server.options import ServerOptions
from tiffin.wire import encode
from tiffin.wire.media import JSON, PROBLEM

GUIDES = {
    ("get", "/health"), ("get", "/features/{group}/{name}"), ("post", "/features/{group}/{name}"),
    ("get", "/features/{group}/{name}/info"), ("post", "/features/batch"),
}  # fmt: skip
OPEN = {"/health", "/ready"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with (
        tiffin.FeatureStore(tmp_path_factory.mktemp("store")) as store,
        AppClient(create_app(store, ServerOptions())) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def document(client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def walk(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from walk(one)


def test_all_routes_stand_in_it(document):
    assert {(method, path) for method, path, _ in operations(document)} >= GUIDES
    assert len(list(operations(document))) >= 36


def test_every_route_says_what_it_does_takes_and_gives(document):
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        (status,) = set(operation["responses"]) - {"default", "304"}
        answer = operation["responses"][status]
        assert all(media["schema"] for media in answer.get("content", {}).values()), where
        assert operation["responses"]["default"]["$ref"] == "#/components/responses/Problem", where
        names = re.findall(r"{(\w+)}", path)
        said = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
        assert all(said[name]["in"] == "path" and said[name]["description"] for name in names), where
        body = operation.get("requestBody", {"content": {}})["content"]
        assert JSON in body or method == "get" or len(body) < 2, where


def test_every_reference_leads_somewhere(document):
    for value in walk(document):
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            target = document
            for step in value["$ref"].removeprefix("#/").split("/"):
                target = target[step]


def test_errors_have_one_shape_and_keys_one_scheme(document):
    problem = document["components"]["responses"]["Problem"]["content"][PROBLEM]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert {"status", "title"} <= set(document["components"]["schemas"]["Problem"]["required"])
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert {path for _, path, operation in operations(document) if operation.get("security") == []} == OPEN


def test_answers_have_examples_that_are_such_answers(document):
    schemas = document["components"]["schemas"]
    for example in EXAMPLES:
        (shown,) = schemas[type(example).__name__]["examples"]
        assert shown == msgspec.json.decode(encode(example))
    shown = {type(example).__name__ for example in EXAMPLES}
    answered = set()
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            schema = answer.get("content", {}).get(JSON, {}).get("schema", {})
            reference = schema.get("$ref") or schema.get("items", {}).get("$ref")
            if status != "default" and reference:
                answered.add(reference.rsplit("/", 1)[1])
    without = answered - shown - {"TrainingSet", "OnlineReply", "FeastReply"}
    assert not without, "each answer has an example, or its fields have"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_load_nothing_from_elsewhere(client, path):
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href|url|spec-url)\s*[=:]\s*"([^"]*)"', page.text)
    assert loaded
    assert all(address.startswith(("/assets/", "/openapi.json", "data:")) for address in loaded)
    assert "//" not in page.text.replace("<!DOCTYPE", "")
    for address in loaded:
        if address.startswith("/"):
            answer = client.get(address)
            assert answer.status_code == 200
            assert len(answer.content) > 1000
    assert "'self'" in page.headers["content-security-policy"]


def test_the_document_names_no_other_server(document):
    assert not document.get("servers")
