"""The last part of the demo: the store served over HTTP by a process of its own, and called."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, Any

import msgspec
import polars as pl

from tiffin.cli.demo.prediction import TRAINING_SET
from tiffin.cli.demo.serving import SERVICE, Latency
from tiffin.cli.run import Run
from tiffin.errors import CorruptData, StorageError

READS = 500
_NEEDED = ("fastapi", "uvicorn")


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """What calling the server took."""

    url: str
    start_s: float
    """Until it answered."""
    latency: Latency
    """Of the client's calls, each a round trip."""
    rows: int
    """Of the training frame that the server made again."""
    frame_s: float
    verified_values: int
    """Values of the server that were compared with what the tables say; none differed."""


def call(run: Run, ratings: pl.DataFrame) -> Called | None:
    """Serve the store and call it; None if what a server needs is not installed.

    Parameters
    ----------
    run : Run
        Where the store is; shows the progress.
    ratings : DataFrame
        As `check_ratings` returns them.

    Raises
    ------
    CorruptData
        The server does not say what the store says.
    StorageError
        It could not start.
    """
    if not all(map(find_spec, _NEEDED)):
        return None
    begun = time.perf_counter()
    with run.busy("starting a server"), _server(run) as url:
        start_s = time.perf_counter() - begun
        with run.busy("calling the server"):
            return _called(run, url, start_s, ratings.select("user_id", "movie_id").head(READS).to_dicts())


def _called(run: Run, url: str, start_s: float, pairs: list[dict[str, Any]]) -> Called:
    from tiffin.client import connect

    with connect(url) as client:
        times_s = []
        for pair in pairs:
            start = time.perf_counter()
            client.get_online_features(SERVICE, [pair])
            times_s.append(time.perf_counter() - start)
        start = time.perf_counter()
        frame = client.reproduce(TRAINING_SET)
        frame_s = time.perf_counter() - start
        verified = run.store.verify(SERVICE, server=client)
    if frame.lock.result_hash != run.store.training_set(TRAINING_SET).lock.result_hash:
        raise CorruptData("a training frame came from the server otherwise than it was made", hint="report this")
    if not verified.ok:
        raise CorruptData(f"the server and the tables differ: {verified}", hint="report this")
    p99_s = statistics.quantiles(times_s, n=100)[98]
    return Called(
        url=url,
        start_s=start_s,
        latency=Latency(entities=1, reads=len(times_s), p50_s=statistics.median(times_s), p99_s=p99_s),
        rows=len(frame),
        frame_s=frame_s,
        verified_values=sum(table.values_compared for table in verified.tables),
    )


@contextmanager
def _server(run: Run) -> Iterator[str]:
    """Run `tiffin serve` on any free port until the body ends, or this process does."""
    command = [sys.executable, "-m", "tiffin", "--store", str(run.folder), "--json", "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--attached"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _address(process.stdout)
        finally:
            process.stdin.close()


def _address(output: IO[bytes]) -> str:
    """Read where the server listens from the document it prints."""
    document = b"".join(iter(output.readline, b"}\n"))
    if not document:
        raise StorageError("the demo's server did not start", hint="see what it said above")
    address: str = json.loads(document + b"}")["url"]
    return address
