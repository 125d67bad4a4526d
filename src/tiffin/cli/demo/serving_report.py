"""The report of the demo's serving, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.demo.calling import Called
from tiffin.cli.demo.sections import indented, section
from tiffin.cli.demo.serving import Arrival, Latency, Serving
from tiffin.cli.views import words
from tiffin.cli.views.tables import listing
from tiffin.materialize import Materialized


def views(found: Serving) -> Iterator[RenderableType]:
    """Show what serving the features took."""
    yield from section("Served", f"feature service {found.service}: {words.many(found.features, 'feature')}")
    yield _filled(found.materialized)
    yield _latencies(found.latencies)
    yield Text()
    yield indented(_arrival(found.arrival))
    yield indented(_verified(found))


def called(found: Called | None) -> Iterator[RenderableType]:
    """Show what calling the server took."""
    if found is None:
        yield from section("Not served over HTTP", "pip install 'tiffin[server]' brings what that needs")
        return
    yield from section("Served over HTTP", f"{found.url}, answering after {words.seconds(found.start_s)}")
    yield _latencies([found.latency])
    yield Text()
    yield indented(
        Text(
            f"The training frame of {found.rows:,} rows, made again by the server, came in "
            f"{words.seconds(found.frame_s)} with the same hash.\n"
            f"Verified: 0 of {found.verified_values:,} values that the server answered differ from the tables'.",
            style="green",
        )
    )


def _filled(done: list[Materialized]) -> Table:
    numbers = ("rows read", "entities", "online in")
    table = listing("table", *numbers, right=numbers)
    for each in done:
        counts = (words.count(each.rows_read), words.count(each.entities_written))
        table.add_row(each.table, *counts, words.seconds(each.seconds))
    return table


def _latencies(latencies: list[Latency]) -> Table:
    numbers = ("reads", "p50", "p99")
    table = listing("entities in one read, all features", *numbers, right=numbers)
    for each in latencies:
        table.add_row(str(each.entities), f"{each.reads:,}", words.seconds(each.p50_s), words.seconds(each.p99_s))
    return table


def _arrival(arrival: Arrival) -> Text:
    return Text(
        f"User {arrival.user_id} rates one more movie with {arrival.rating:g}, pushed in "
        f"{words.seconds(arrival.push_s)}. The next read, {words.seconds(arrival.seen_s)}, says "
        f"{arrival.count_before:,} → {arrival.count_after:,} ratings, mean {arrival.mean_before:.4f} → "
        f"{arrival.mean_after:.4f}."
    )


def _verified(found: Serving) -> Text:
    entities, values, different = (
        sum(getattr(table, name) for table in found.verified)
        for name in ("entities_compared", "values_compared", "values_different")
    )
    return Text(
        f"Verified in {words.seconds(found.verify_s)}: {different:,} of {values:,} values of {entities:,} entities "
        "differ from what a training frame as of now says.",
        style="green",
    )
