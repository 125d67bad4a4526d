"""The report of the demo's predictions, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.demo.model import Errors
from tiffin.cli.demo.prediction import Prediction
from tiffin.cli.demo.sections import indented, section
from tiffin.cli.views import training as training_views
from tiffin.cli.views import words
from tiffin.cli.views.tables import listing


def views(found: Prediction) -> Iterator[RenderableType]:
    """Show what came of predicting the ratings."""
    yield from section("Ratings predicted", "from what was known of user and movie just before each")
    yield Text()
    yield indented(_facts(found))
    errors = found.errors
    yield Text()
    predicted = f"{errors.tested:,} later ratings predicted from {words.many(errors.trained, 'earlier one')}"
    yield indented(Text(predicted))
    yield indented(_errors(errors))
    yield from section("Checked for leakage", "rows that the check warns of")
    yield _leaks(found)
    yield indented(Text("A movie's genres have no time and were saved today; as they do not change, that may stand."))
    yield from section("Explained", "where one value of the training frame is from")
    yield Text()
    for line in training_views.explanation(found.explanation):
        yield indented(line)


def _facts(found: Prediction) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    facts.add_row(
        "training frame",
        f"{words.many(found.rows, 'rating')} with {len(found.features)} features of {len(found.versions)} tables, "
        f"joined in {words.seconds(found.join_s)}; nothing is known of the user in {found.rows_unknown:,}",
    )
    for number, (table, version) in enumerate(found.versions.items()):
        facts.add_row("locked" if number == 0 else "", f"{table}@{version}")
    facts.add_row("made again", f"in {words.seconds(found.reproduce_s)}, with the same hash {found.reproduced_hash}")
    again = found.recomputed
    facts.add_row(
        "recomputed",
        f"{words.many(again.rows, 'random row')} by plain Python loops over the raw ratings: "
        f"{again.differences} of {again.values:,} values differ",
    )
    return facts


def _errors(errors: Errors) -> Table:
    table = listing("a linear model of", "error (RMSE)", right=("error (RMSE)",))
    table.add_row("nothing: always the mean", _stars(errors.mean))
    table.add_row("features as of each rating", Text(_stars(errors.as_of), style="bold green"))
    table.add_row("each entity's newest features, which know the answers", Text(_stars(errors.naive), style="red"))
    table.add_row("  the same, asked before the answers are known", _stars(errors.naive_in_life))
    return table


def _leaks(found: Prediction) -> Table:
    asked = {"just before": found.leaks_asked_before, "at the rating": found.leaks_asked_then}
    table = listing("warning", "table", *asked, right=[*asked])
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for when, leaks in asked.items():
        for leak in leaks:
            rows.setdefault((leak.check, leak.table), {})[when] = leak.rows
    for (check, name), counts in rows.items():
        table.add_row(Text(check, style="yellow"), name, *(words.count(counts.get(when, 0)) for when in asked))
    return table


def _stars(error: float) -> str:
    return f"{error:.3f}"
