"""Answers about the online index, for people; and online answers for programs."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.agreement import TableVerification, Verification
from tiffin.cli.views import words
from tiffin.cli.views.tables import listing, short
from tiffin.derived.answering import OnDemandAnswer
from tiffin.materialize import Materialized
from tiffin.serving.answer import OnlineAnswer, Status

_STYLES = {
    Status.PRESENT: "green",
    Status.NULL_VALUE: "yellow",
    Status.NOT_FOUND: "red",
    Status.OUTSIDE_MAX_AGE: "magenta",
}

_DIFFERENCES_SHOWN = 10


def document(answer: OnlineAnswer | OnDemandAnswer) -> dict[str, Any]:
    """Arrange an answer by entity: the value, status and time of each feature."""
    statuses, timestamps = answer.statuses, answer.timestamps
    rows = []
    for number, row in enumerate(answer.rows()):
        features = {
            name: {"value": row[name], "status": statuses[name][number], "timestamp": timestamps[name][number]}
            for name in statuses
        }
        rows.append({"entity": {name: row[name] for name in row if name not in statuses}, "features": features})
    return {"rows": rows}


def answer(found: OnlineAnswer | OnDemandAnswer) -> Table:
    """Show the features of entities, a line each."""
    rows = document(found)["rows"]
    columns = list(rows[0]["entity"]) if rows else []
    table = listing(*columns, "feature", "value", "status", "timestamp", right=["value"])
    for row in rows:
        keys = [short(key) for key in row["entity"].values()]
        for name, feature in row["features"].items():
            status, time = feature["status"], feature["timestamp"]
            value = Text(short(feature["value"]), style="dim italic" if feature["value"] is None else "")
            shown = Text(str(status), style=_STYLES[status])
            table.add_row(*keys, Text(name, style="bold"), value, shown, "" if time is None else words.clock(time))
            # Said once for each entity.
            keys = [""] * len(keys)
    return table


def materialized(done: Sequence[Materialized]) -> Iterator[RenderableType]:
    """Show what it took to catch the online index up."""
    if not done:
        yield Text("no table is online")
        yield Text("put one there: tiffin materialize group/name, or tiffin save … --online", style="dim")
        return
    numbers = ("version", "rows read", "entities written", "removed", "time")
    table = listing("table", *numbers, "", right=numbers)
    for each in done:
        table.add_row(
            Text(each.table, style="bold"),
            str(each.version),
            words.count(each.rows_read),
            words.count(each.entities_written),
            words.count(each.entities_removed),
            words.seconds(each.seconds),
            Text("from scratch" if each.from_scratch else "", style="dim"),
        )
    yield table


def verification(found: Verification) -> dict[str, Any]:
    """Arrange a comparison for programs: `ok` with the fields."""
    tables = [{"ok": table.ok, **msgspec.structs.asdict(table)} for table in found.tables]
    return {"ok": found.ok, "tables": tables}


def verified(found: Verification) -> Iterator[RenderableType]:
    """Show how tables and their online rows compare."""
    if not found.tables:
        yield Text("no table is online")
        return
    is_served = any(each.server_different is not None for each in found.tables)
    numbers = ("version", "behind", "entities", "values", "differ", *(("the server's",) if is_served else ()))
    table = listing("table", *numbers, "", right=numbers)
    for each in found.tables:
        table.add_row(
            Text(each.table, style="bold"),
            str(each.version),
            words.count(each.lag),
            words.count(each.entities_compared),
            words.count(each.values_compared),
            *(
                Text(words.count(number), style="bold red" if number else "")
                for number in (each.values_different, each.server_different)
                if number is not None
            ),
            _counts(each),
        )
    yield table
    for each in found.tables:
        if each.differences:
            yield _differences(each)
    if found.ok:
        agree = "online, server and offline agree" if is_served else "online and offline agree"
        yield Text(agree, style="green")
    else:
        yield Text("tiffin materialize TABLE --from-scratch fills the online rows anew", style="dim")


def _counts(table: TableVerification) -> str:
    if table.entities_online in {None, table.entities_offline}:
        return ""
    return f"the table has {words.count(table.entities_offline)} entities, the index {table.entities_online:,}"


def _differences(found: TableVerification) -> Table:
    table = listing(found.table, "feature", "offline", "online")
    for each in found.differences[:_DIFFERENCES_SHOWN]:
        entity = ", ".join(f"{name} {short(key)}" for name, key in each.entity.items())
        sides = ((each.offline, each.offline_status), (each.online, each.online_status))
        entity += " (server)" if each.by_server else ""
        table.add_row(entity, each.feature, *(f"{short(value)} ({status})" for value, status in sides))
    hidden = found.values_different + (found.server_different or 0) - _DIFFERENCES_SHOWN
    if hidden > 0:
        table.add_row(Text(f"and {hidden:,} more", style="dim"))
    return table
