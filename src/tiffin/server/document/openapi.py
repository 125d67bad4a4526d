"""What the OpenAPI document says of each route: from the types that requests are checked against."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import Path
from starlette.responses import Response

from tiffin.frames import Lock
from tiffin.server.answers.forms import Frame
from tiffin.server.document.examples import EXAMPLES
from tiffin.wire import Problem, encode
from tiffin.wire.media import ARROW, CSV, IDEMPOTENCY_KEY, JSON, PARQUET, PROBLEM, TOML

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tiffin.server.requests.parameters import Parameters

_PART = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$"

# The store checks names itself, and says what is wrong with one.
Group = Annotated[
    str,
    Path(
        description="The group of a table; `-` where it is left out, because the name is unique.",
        examples=["user"],
        json_schema_extra={"pattern": rf"{_PART}|^-$"},
    ),
]
Name = Annotated[
    str, Path(description="The name of a table.", examples=["ratings"], json_schema_extra={"pattern": _PART})
]
Pin = Annotated[
    str, Path(description="The name of a tag or a stage.", examples=["prod"], json_schema_extra={"pattern": _PART})
]
Own = Annotated[str, Path(description="Its name.", examples=["recommender"], json_schema_extra={"pattern": _PART})]

_REF = "#/components/schemas/{name}"
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FILES = {ARROW: _BINARY, PARQUET: _BINARY, CSV: {"description": "A line of names, then one a row."}}
"""Formats of frames beside JSON."""
_TOML: dict[str, Any] = {
    TOML: {
        "schema": {"type": "string", "examples": ['[tables."user/ratings"]\nentity = ["user_id"]\nowner = "anna"\n']}
    }
}

_IDEMPOTENCY = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Names the request: sent again with the same key it lands once, and is answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}

_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Answers that the caller has already, by their `ETag`.",
    "schema": {"type": "string"},
}


_KEYS = (
    "An API key, as `tiffin keys create` makes one. A server that only its own machine reaches asks for none until the "
    "first is made."
)


_described: set[Any] = {Problem, Frame}
"""Types that the document has to describe."""


def documented(
    summary: str,
    *,
    gives: Any,
    query: type[Parameters] | None = None,
    body: type[Parameters] | None = None,
    frame: type[Parameters] | None = None,
    rows: str = "rows",
    only_arrow: bool = False,
    may_be_empty: bool = False,
    may_lack_rows: bool = False,
    in_formats: bool = False,
    in_toml: bool = False,
    repeatable: bool = False,
    is_tagged: bool = False,
    media: str = JSON,
    status: int = 200,
    is_open: bool = False,
) -> dict[str, Any]:
    """Describe a route.

    Parameters
    ----------
    summary : str
        What it does, a few words.
    gives : type or None
        What it answers; `Frame` for rows in any of the formats of frames, None for no body.
    query : type, optional
        The parameters in its URL.
    body : type, optional
        Its JSON body.
    frame : type, optional
        The parameters beside its body of rows, in the URL or as keys of a JSON body.
    rows : str
        The key of the rows in a JSON body.
    only_arrow : bool
        Whether the rows come only as Arrow.
    may_be_empty : bool
        Whether the rows can be left out.
    may_lack_rows : bool
        Whether a JSON body may have parameters alone.
    in_formats : bool
        Whether the answer is given in any of the formats of frames.
    in_toml : bool
        Whether the answer can be TOML, or the body if there is one.
    repeatable : bool
        Whether a request with an idempotency key lands once.
    is_tagged : bool
        Whether the answer has an `ETag`, and is not given again to who has it.
    media : str
        Media type of the answer.
    status : int
        Of the answer.
    is_open : bool
        Whether no key is asked for.

    Returns
    -------
    dict
        Arguments of a router's decorator.
    """
    operation: dict[str, Any] = {"security": []} if is_open else {}
    asked = query or frame
    parameters = [*(_query(asked, in_body=may_lack_rows) if asked else []), *([_IDEMPOTENCY] if repeatable else [])]
    parameters += [_IF_NONE_MATCH] if is_tagged else []
    if parameters:
        operation["parameters"] = parameters
    if body:
        is_needed = any(field.required for field in msgspec.structs.fields(body))
        operation["requestBody"] = {
            "required": is_needed,
            "content": {JSON: {"schema": _ref(body)}} | (_TOML if in_toml else {}),
        }
    if frame:
        content = {ARROW: {"schema": _BINARY}} if only_arrow else _frame_content(frame, rows, needed=not may_lack_rows)
        operation["requestBody"] = {"required": not may_be_empty, "content": content}
    answer: dict[str, Any] = {"description": "Done."}
    if gives is not None:
        files = _FILES if in_formats or gives is Frame else {}
        content = {kind: {"schema": one} for kind, one in ({media: _ref(gives)} | files).items()}
        content |= _TOML if in_toml and not body else {}
        answer = {"description": "The answer.", "content": content}
    known: dict[int | str, Any] = {304: {"description": "The caller has the answer already."}} if is_tagged else {}
    return {
        "summary": summary,
        "response_class": Response,
        "status_code": status,
        "responses": {status: answer, **known, "default": {"$ref": "#/components/responses/Problem"}},
        "openapi_extra": operation,
    }


def document(app: FastAPI) -> dict[str, Any]:
    """Make the OpenAPI document of an app whose routes are `documented`.

    Parameters
    ----------
    app : FastAPI
        With all its routes.

    Returns
    -------
    dict
        OpenAPI 3.1.
    """
    made = app.openapi()
    _, schemas = _components(sorted(_described, key=str))
    components = made.setdefault("components", {})
    for example in EXAMPLES:
        schemas[type(example).__name__]["examples"] = [msgspec.json.decode(encode(example))]
    components.setdefault("schemas", {}).update(schemas)
    components["responses"] = {
        "Problem": {
            "description": "What went wrong, and what to do about it.",
            "content": {PROBLEM: {"schema": _ref(Problem)}},
        }
    }
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": _KEYS}}
    made["security"] = [{"key": []}]
    return made


def _frame_content(kind: type[Parameters], rows: str, *, needed: bool) -> dict[str, Any]:
    about = _components([kind])[1][kind.__name__]
    schema = {
        "type": "object",
        "description": "Rows, and parameters that are not in the URL.",
        "properties": {
            rows: {
                "type": "array",
                "items": {"type": "object", "minProperties": 1},
                "minItems": 1,
                "description": "A JSON object per row.",
                "examples": [[{"user_id": 7, "event_timestamp": "2024-05-31T12:00:00Z", "mean": 4.5}]],
            },
            **about["properties"],
        },
        "required": [rows] if needed else [],
        "additionalProperties": False,
    }
    return {JSON: {"schema": schema}, **{media: {"schema": one} for media, one in _FILES.items()}}


def _query(kind: type[Parameters], *, in_body: bool) -> list[dict[str, Any]]:
    schema = _components([kind])[1][kind.__name__]
    return [
        _parameter(name, about, [] if in_body else schema["required"]) for name, about in schema["properties"].items()
    ]


def _parameter(name: str, about: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {key: value for key, value in about.items() if key != "description"}
    shown = {"content": {JSON: {"schema": schema}}} if about.get("type") == "object" else {"schema": schema}
    parameter = {"name": name, "in": "query", "required": name in required}
    return {**parameter, "description": about.get("description", ""), **shown}


def _ref(kind: Any) -> dict[str, Any]:
    _described.add(kind)
    (schema,), _ = _components([kind])
    return schema


def _components(kinds: Iterable[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(kinds, schema_hook=_schema, ref_template=_REF)


def _schema(kind: type) -> dict[str, Any]:
    """Describe what msgspec has no schema for."""
    return (
        {"type": "object", "description": "What it was made from."} if kind is Lock else {"description": "Any value."}
    )
