"""The calls over HTTP that a soak is made of; what comes back is checked against what was acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count, cycle
from typing import NamedTuple

import polars as pl

import tiffin
from benchmarks.soak import rows, sockets
from benchmarks.soak.beside import BESIDE_ROWS, BULK_ROWS, SPINE_ROWS, spine
from benchmarks.soak.shared import Recorder, Shared
from tiffin.wire.media import ARROW, JSON

WHOLE, UPSERTED, APPENDED, PUSHED, BULK, BESIDE = (
    "live/whole", "live/upserted", "live/appended", "live/pushed", "bulk/frame", "beside/table",
)  # fmt: skip
WHOLE_ROWS, UPSERTED_ROWS, PUSHED_ROWS = 1_000, 2_000, 500
PART, APPEND, PUSH = 100, 20, 5
"""Rows of one upsert, append and push."""
MOST_APPENDS = 200
"""Then the table begins again, so that what is live stays of one size."""
_TOO_LONG = 100 * 2**20


class Kind(NamedTuple):
    """A kind of call."""

    name: str
    per_s: float
    do: Callable[[], Awaitable[object]]
    alone: int = 0
    """How often it is done in a probe, when nothing else goes on."""


class Calls:
    """What is asked, with all that has to be known for checking the answers.

    Parameters
    ----------
    shared : Shared
        Where the server is.
    clients : sequence of AsyncFeatureStoreClient
        They ask in turn over connections that are kept open: several, so that all workers are asked.
    recorder : Recorder
        Counts what is checked.
    """

    def __init__(self, shared: Shared, clients: Sequence[tiffin.AsyncFeatureStoreClient], recorder: Recorder) -> None:
        self._url, self._board, self._recorder = shared.url, shared.board, recorder
        self._clients = cycle(clients)
        self._key = {"Authorization": f"Bearer {shared.key}"}
        self._saves = {table: count(2) for table in (WHOLE, UPSERTED, APPENDED, PUSHED)}
        self._newest: dict[str, dict[int, int]] = {
            UPSERTED: dict.fromkeys(range(UPSERTED_ROWS), 1), PUSHED: dict.fromkeys(range(PUSHED_ROWS), 1),
        }  # fmt: skip
        self._appended = [1]
        self._versions: dict[str, int] = {}
        self._locks = {table: asyncio.Lock() for table in self._saves}
        self._turn = count()
        self._training = spine()

    @property
    def _client(self) -> tiffin.AsyncFeatureStoreClient:
        return next(self._clients)

    def kinds(self) -> list[Kind]:
        """List the kinds of call, and how many of each are made in a second."""
        return [
            Kind("online, 1", 100, lambda: self._online(WHOLE, 1), 50),
            Kind("online, 1, saved by another process", 10, lambda: self._online(BESIDE, 1)),
            Kind("online, 1, new connection", 15, self._online_anew, 20),
            Kind("online, 1, pushed", 10, self._online_pushed),
            Kind("online, 100", 25, lambda: self._online(WHOLE, 100), 20),
            Kind("page of 1,000, JSON", 5, self._page, 5),
            Kind("page of 5,000, Arrow", 5, self._arrow, 5),
            Kind("rows of 20 entities", 5, self._entities, 10),
            Kind("rows by a comparison", 3, self._compare, 10),
            Kind("batch of 2 tables", 3, self._batch, 10),
            Kind("training frame of 1,000", 2, self._join, 5),
            Kind("save, overwrite 1,000", 1, self._overwrite, 5),
            Kind("save, append 20", 1.5, self._append, 5),
            Kind("save, upsert 100", 0.5, self._upsert, 3),
            Kind("push of 5", 2.5, self._push, 5),
            Kind("tag", 0.2, self._tag),
            Kind("stage and promote", 0.1, self._stage),
            Kind("profile", 0.2, lambda: self._client.profile(WHOLE), 1),
            Kind("search", 0.2, lambda: self._client.search("save"), 1),
            Kind("history and lag", 0.2, self._look),
            Kind("vacuum", 1 / 30, lambda: self._client.vacuum(keep_versions=5)),
            Kind("proof of the online index", 1 / 30, self._verify),
            Kind("refused: 401, 404, 413, 422", 4, self._wrong),
            Kind("hung up on", 2, self._leave),
        ]

    async def _online(self, table: str, entities: int) -> None:
        least, first = self._board.least(table, online=True), next(self._turn) * 7
        among = BESIDE_ROWS if table == BESIDE else WHOLE_ROWS
        asked = [{"id": (first + number) % among} for number in range(entities)]
        answer = await self._client.get_online_features([f"{table}:save", f"{table}:again"], asked)
        self._board.see(table, rows.check(self._recorder, answer.to_dict(), entities, least), online=True)

    async def _online_anew(self) -> None:
        least, entity = self._board.least(WHOLE, online=True), next(self._turn) % WHOLE_ROWS
        question = {"features": [f"{WHOLE}:save", f"{WHOLE}:again"], "entity_rows": [{"id": entity}]}
        body = sockets.as_json(question)
        status, answer = await sockets.ask(self._url, "POST", "/online", {**self._key, "Content-Type": JSON}, body)
        self._recorder.check(is_right=status == 200, kind="status", said=f"{status} for an online read")
        found = {name: [row[name] for row in json.loads(answer)["rows"]] for name in ("id", *rows.MARKS)}
        self._board.see(WHOLE, rows.check(self._recorder, found, 1, least), online=True)

    async def _online_pushed(self) -> None:
        entity = next(self._turn) % PUSHED_ROWS
        least = {entity: self._newest[PUSHED][entity]}
        answer = await self._client.get_online_features([f"{PUSHED}:save", f"{PUSHED}:again"], [{"id": entity}])
        rows.check(self._recorder, answer.to_dict(), 1, least)

    async def _page(self) -> None:
        least, known = self._board.least(WHOLE), self._versions.get(WHOLE, 0)
        answer = await self._client.get_feature("live", "whole", limit=WHOLE_ROWS)
        version = answer["metadata"]["version"]
        self._recorder.check(is_right=version >= known, kind="stale", said=f"version {version} after {known}")
        self._versions[WHOLE] = max(version, self._versions.get(WHOLE, 0))
        found = {name: [row[name] for row in answer["data"]] for name in ("id", *rows.MARKS)}
        self._board.see(WHOLE, rows.check(self._recorder, found, WHOLE_ROWS, least))

    async def _arrow(self) -> None:
        least, offset = self._board.least(BULK), next(self._turn) * 100 % (BULK_ROWS - 5_000)
        answer = await self._client.read(BULK, limit=5_000, offset=offset)
        self._board.see(BULK, rows.check(self._recorder, _columns(answer), 5_000, least))

    async def _entities(self) -> None:
        first = next(self._turn) * 20 % UPSERTED_ROWS
        asked = [{"id": entity} for entity in range(first, first + 20)]
        least = {row["id"]: self._newest[UPSERTED][row["id"]] for row in asked}
        rows.check(self._recorder, _columns(await self._client.read(UPSERTED, entities=asked)), 20, least)

    async def _compare(self) -> None:
        save = self._appended[-1]
        answer = await self._client.read(APPENDED, where=[("save", "==", save)])
        rows.check(self._recorder, _columns(answer), APPEND, save)

    async def _batch(self) -> None:
        least = self._board.least(WHOLE)
        asked = [(next(self._turn) + number) % WHOLE_ROWS for number in range(10)]
        answer = await self._client.get_batch_features([WHOLE, UPSERTED], asked)
        found = {name: [row[name] for row in answer["features"][WHOLE]] for name in ("id", *rows.MARKS)}
        self._board.see(WHOLE, rows.check(self._recorder, found, 10, least))

    async def _join(self) -> None:
        least = self._board.least(BULK)
        answer = await self._client.get_historical_features(self._training, [BULK])
        self._board.see(BULK, rows.check(self._recorder, _columns(answer), SPINE_ROWS, least))

    async def _overwrite(self) -> None:
        async with self._locks[WHOLE]:
            save = next(self._saves[WHOLE])
            commit = await self._client.save(WHOLE, rows.frame(range(WHOLE_ROWS), save))
            self._board.acknowledge(WHOLE, save)
            known = self._versions.get(WHOLE, 0)
            # Others' answers may know of this version already, of a later one they may not.
            self._recorder.check(is_right=commit.version >= known, kind="lost", said=f"{commit.version} after {known}")
            self._versions[WHOLE] = commit.version

    async def _append(self) -> None:
        async with self._locks[APPENDED]:
            save = next(self._saves[APPENDED])
            if len(self._appended) == MOST_APPENDS:
                # With the newest rows: they are being asked for.
                await self._client.save(APPENDED, rows.frame(range(APPEND), self._appended[-1]))
                self._appended = self._appended[-1:]
            await self._client.save(APPENDED, rows.frame(range(APPEND), save), mode="append")
            self._appended.append(save)
            if len(self._appended) % 20 == 0:
                # What was appended must be there, all of it, with all that was before.
                answer = await self._client.read(APPENDED, columns=["save"])
                found = [*dict.fromkeys(answer.to_polars()["save"].to_list())]
                self._recorder.check(
                    is_right=found == self._appended and len(answer) == APPEND * len(found), kind="lost",
                    said=f"of {len(self._appended)} appends {len(found)} are there, {len(answer)} rows",
                )  # fmt: skip

    async def _upsert(self) -> None:
        async with self._locks[UPSERTED]:
            save = next(self._saves[UPSERTED])
            ids = [(save * 131 + number) % UPSERTED_ROWS for number in range(PART)]
            await self._client.save(UPSERTED, rows.frame(ids, save), mode="upsert")
            self._newest[UPSERTED].update(dict.fromkeys(ids, save))

    async def _push(self) -> None:
        async with self._locks[PUSHED]:
            save = next(self._saves[PUSHED])
            if save % MOST_APPENDS == 0:
                newest = self._newest[PUSHED].items()
                again = pl.concat([rows.frame([key], number, at=datetime.now(UTC)) for key, number in newest])
                await self._client.save(PUSHED, again)
            ids = [(save * 11 + number) % PUSHED_ROWS for number in range(PUSH)]
            await self._client.push(PUSHED, rows.frame(ids, save, at=datetime.now(UTC)))
            self._newest[PUSHED].update(dict.fromkeys(ids, save))

    async def _tag(self) -> None:
        await self._client.tag(WHOLE, self._versions.get(WHOLE, 0), "prod", move=True)
        answer = await self._client.read(f"{WHOLE}@prod", limit=10)
        rows.check(self._recorder, _columns(answer), 10, 1)

    async def _stage(self) -> None:
        async with self._locks[UPSERTED]:
            save = next(self._saves[UPSERTED])
            await self._client.stage(UPSERTED, rows.frame(range(UPSERTED_ROWS), save), "trial")
            await self._client.promote(UPSERTED, "trial")
            self._newest[UPSERTED] = dict.fromkeys(range(UPSERTED_ROWS), save)

    async def _look(self) -> None:
        await self._client.history(WHOLE, limit=10)
        await self._client.online_lag()

    async def _verify(self) -> None:
        proof = await self._client.verify([PUSHED], sample=100)
        self._recorder.check(is_right=proof.ok, kind="stale", said=f"the index and the table differ: {proof}")

    async def _wrong(self) -> None:
        path, headers, length, expected = (
            ("/features/live/nothing", self._key, None, 404),
            ("/features/live/whole?colour=red", self._key, None, 422),
            ("/tables", {}, None, 401),
            ("/tables/live/whole", {**self._key, "Content-Type": ARROW}, _TOO_LONG, 413),
        )[next(self._turn) % 4]
        method = "POST" if length else "GET"
        status, _ = await sockets.ask(self._url, method, path, headers, length=length)
        self._recorder.check(is_right=status == expected, kind="status", said=f"{status} where {expected} was due")

    async def _leave(self) -> None:
        turn = next(self._turn)
        path = "/features/bulk/frame" if turn % 3 else "/features/live/whole"
        headers = {**self._key, "Accept": ARROW}
        await sockets.hang_up(self._url, path, headers, after=(0, 1, 5_000)[turn % 3], resets=bool(turn % 2))


def _columns(answer: tiffin.FeatureFrame) -> dict[str, list[int]]:
    return answer.to_polars().select("id", *rows.MARKS).to_dict(as_series=False)
