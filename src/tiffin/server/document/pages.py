"""The OpenAPI document and its pages, with all that they need: they work without the internet."""

from __future__ import annotations

import html
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from tiffin.server.document.openapi import document
from tiffin.wire.media import JSON

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_ASSETS = "/assets"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
{body}
</body>
</html>
"""


def add_pages(app: FastAPI) -> None:
    """Add `/openapi.json`, `/docs` (Swagger UI), `/redoc` (ReDoc) and what these load to an app with all its routes."""
    made: list[bytes] = []

    async def openapi(_request: Request) -> Response:
        if not made:
            made.append(msgspec.json.encode(document(app)))
        return Response(made[0], media_type=JSON)

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", _swagger, include_in_schema=False)
    app.add_route("/redoc", _redoc, include_in_schema=False)
    app.mount(_ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")))


async def _swagger(_request: Request) -> Response:
    start = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null})'
    return _page(
        "Tiffin: the REST interface",
        f'<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">',
        f'<div id="swagger"></div>\n<script src="{_ASSETS}/swagger-ui-bundle.js"></script>\n<script>{start}</script>',
    )


async def _redoc(_request: Request) -> Response:
    script = f'<script src="{_ASSETS}/redoc.standalone.js"></script>'
    return _page("Tiffin: the REST interface", "", f'<redoc spec-url="/openapi.json"></redoc>\n{script}')


def _page(title: str, head: str, body: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=html.escape(title), head=head, body=body))
