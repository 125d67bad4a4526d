"""What the asynchronous client and the guides' one do besides, on a server that answers both."""

from __future__ import annotations

import asyncio
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from conformance.stores import failure
from tiffin import errors

# The twin on an event loop


def test_the_async_client_does_the_same(url, group):
    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(url) as store:
            frame = pl.DataFrame({"k": [1, 2], "x": [1.5, None]})
            commit = await store.save(f"{group}/t", frame, entity="k", online=True)
            assert (commit.version, commit.online_version) == (0, 0)
            assert_frame_equal((await store.read(f"{group}/t")).to_polars(), frame)
            assert (await store.describe(f"{group}/t")).rows == 2
            answers = await asyncio.gather(*(store.get_online_features(f"{group}/t", [{"k": 1}]) for _ in range(50)))
            assert {answer.to_dict()["x"][0] for answer in answers} == {1.5}
            many = await store.get_online_features(f"{group}/t", {"k": [1] * 12_000})
            assert len(many) == 12_000
            plan = await store.prepare([f"{group}/t:x"])
            assert (await plan.read([{"k": 2}])).statuses == {"x": ["NULL_VALUE"]}
            spine = pl.DataFrame({"k": [2, 1]})
            assert (await store.get_historical_features(spine, [f"{group}/t:x"])).to_polars()["x"].to_list() == [
                None,
                1.5,
            ]
            assert await store.examine_services() == []
            with pytest.raises(errors.TableNotFound):
                await store.read(f"{group}/nope")
            with pytest.raises(errors.TableNotFound):
                await store.prepare([f"{group}/nope:x"])
            assert await store.drop(f"{group}/t") is None

    asyncio.run(use())


def message_from(connection: socket.socket) -> bytes:
    """Receive a whole request or answer; nothing if the other side has closed."""
    message = b""
    while piece := connection.recv(1 << 20):
        message += piece
        head, ended, body = message.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if ended and len(body) == int(length[1] if length else 0):
            return message
    return b""


@contextmanager
def loses_answers(url: str, how_many: int) -> Iterator[str]:
    """Pass requests on to a server; its first answers are lost on the way."""
    far = urlsplit(url)
    lost = iter(range(how_many))

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((far.hostname, far.port)) as server:
                while asked := message_from(self.request):
                    server.sendall(asked)
                    answer = message_from(server)
                    if next(lost, None) is not None:
                        return
                    self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads, relay.block_on_close = True, False
        threading.Thread(target=relay.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{relay.server_address[1]}"
        finally:
            relay.shutdown()


def test_a_save_whose_answer_is_lost_lands_once(url, group):
    with loses_answers(url, 2) as relay, tiffin.connect(relay) as store:
        commit = store.save(f"{group}/t", [{"k": 1}], entity="k", mode="append")
    with tiffin.connect(url) as store:
        assert (commit.version, commit.rows) == (0, 1)
        assert store.history(f"{group}/t") == [commit]
        with loses_answers(url, 1) as relay, tiffin.connect(relay) as lossy:
            pushed = lossy.push(f"{group}/t", [{"k": 2}])
        assert (pushed.version, len(store.history(f"{group}/t"))) == (1, 2)


# The guides' client


def test_the_guides_client(url, group):
    with tiffin.FeatureStoreClient(base_url=url) as client:
        saved = client.save_feature(group, "t", [{"entity_id": 1, "x": 1.5}, {"entity_id": 2, "x": None}])
        assert (saved["rows_saved"], saved["version"]) == (2, 0)
        assert not Path(saved["file_path"]).is_absolute()
        page = client.get_feature(group, "t", columns=["x"], limit=1, offset=0)
        assert (page["feature_group"], page["feature_name"], page["data"]) == (group, "t", [{"x": 1.5}])
        assert (page["metadata"]["total_rows"], page["metadata"]["row_count"]) == (2, 1)
        batch = client.get_batch_features([f"{group}/t"], entity_ids=[2])
        assert batch["features"] == {f"{group}/t": [{"entity_id": 2, "x": None}]}
        info = client.get_feature_info(group, "t")["storage_info"]
        assert info["row_count"] == 2
        failure(errors.TableNotFound, lambda: client.get_feature(group, "nope"))
