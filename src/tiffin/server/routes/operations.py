"""Routes about the server and the store as a whole: alive, ready, figures, and housekeeping."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.doctor import Finding
from tiffin.materialize import Materialized
from tiffin.reading import Stats
from tiffin.server.document.openapi import documented
from tiffin.server.edge.metrics import MEDIA
from tiffin.server.health import Health, Ready, readiness
from tiffin.server.requests.call import Call
from tiffin.server.requests.parameters import Compacting, Examining, Materializing, Vacuuming
from tiffin.tables.table import Commit
from tiffin.tables.upkeep import Vacuumed

router = APIRouter(tags=["operations"])


@router.get("/health", **documented("Tell whether the server is alive", gives=Health, is_open=True))
async def health(request: Request) -> Response:
    """Tell that the server is alive."""
    return Call(request).result(Health(status="healthy", timestamp=datetime.now(UTC)))


@router.get("/ready", **documented("Tell whether the store can be read", gives=Ready, is_open=True))
async def ready(request: Request) -> Response:
    """Tell whether the store can be read, and how far the online index is behind each table."""
    call = Call(request)
    return call.result(await call.run(readiness, call.store, request.app.state.ground, call.caller))


@router.get("/metrics", **documented("Give figures for Prometheus", gives=str, media=MEDIA))
async def metrics(request: Request) -> Response:
    """Give figures of all worker processes: requests, latencies, caches, rows, commits, online lag."""
    call = Call(request)
    call.may_all("read")
    return Response(await call.run(request.app.state.metrics.exposition), media_type=MEDIA)


@router.get("/stats", **documented("Count what the store holds", gives=Stats))
async def stats(request: Request) -> Response:
    """Count what the store holds, and how the caches did in the process that answers."""
    call = Call(request)
    call.may_all("read")
    return call.result(await call.run(call.store.stats))


@router.post(
    "/online/materialize", **documented("Bring all online tables up", body=Materializing, gives=list[Materialized])
)
async def materialize(request: Request) -> Response:
    """Bring the online index up to the newest versions of all tables that are online."""
    call = Call(request)
    call.may_all("write")
    asked = await call.body(Materializing)
    return call.result(await call.run(call.store.materialize, from_scratch=asked.from_scratch))


@router.post("/vacuum", **documented("Remove old versions", body=Vacuuming, gives=list[Vacuumed]))
async def vacuum(request: Request) -> Response:
    """Remove old versions and files that belong to no version; versions being read are kept."""
    call = Call(request)
    asked = (await call.body(Vacuuming)).given()
    table = await call.one_or_all("admin", asked.pop("table", None))
    return call.result(await call.run(call.store.vacuum, table, **asked))


@router.post("/compact", **documented("Merge small files", body=Compacting, gives=list[Commit]))
async def compact(request: Request) -> Response:
    """Merge the small files of a table, or of all tables; rows and their order stay the same."""
    call = Call(request)
    table = await call.one_or_all("admin", (await call.body(Compacting)).table)
    return call.result(await call.run(call.store.compact, table))


@router.get("/examine", **documented("Check what is stored", query=Examining, gives=list[Finding]))
async def examine(request: Request) -> Response:
    """Check that every version can be read, every file is what was written, and every service finds its features."""
    call = Call(request)
    table = await call.one_or_all("admin", call.query(Examining).given().get("table"))
    return call.result(await call.run(call.store.examine, table))
