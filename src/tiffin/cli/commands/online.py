"""The commands that read the online index: get."""

from typing import Annotated

import typer

from tiffin.cli.arguments.asked import REFERENCES, FullNamesOption, ServiceOption, asked_for, keys_of
from tiffin.cli.arguments.assignments import parse_row, typed
from tiffin.cli.arguments.options import JsonOption, StoreOption, complete_table, example, value_of
from tiffin.cli.run import running

commands = typer.Typer(name="online", help="The online index.", no_args_is_help=True, rich_help_panel="Online")


@commands.command(
    epilog=example(
        "tiffin online get user/ratings --entity user_id=7",
        "tiffin online get user/ratings:mean --entity user_id=7 --entity user_id=8 --json",
    )
)
def get(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None, typer.Argument(metavar="REFERENCE", help=REFERENCES, autocompletion=complete_table)
    ] = None,
    *,
    entity: Annotated[
        list[str],
        typer.Option("--entity", "-e", metavar="COLUMN=KEY", help="Whose: user_id=7,movie_id=42; repeat it for more."),
    ],
    service: ServiceOption = None,
    full_feature_names: FullNamesOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read features of entities as of now, with the status and the time of each value.

    A status is PRESENT, NULL_VALUE, NOT_FOUND (no such entity) or OUTSIDE_MAX_AGE (older than the ttl). Where a default
    is declared it stands in for what is missing.
    """
    with running(ctx, store, as_json) as run:
        rows = [row for text in entity if (row := value_of("--entity", parse_row, text))]
        asked = asked_for(run, references, service, "REFERENCE")
        keys = keys_of(run, asked).entity
        entities = [typed(row, keys) for row in rows]
        answer = run.store.get_online_features(asked, entities, full_feature_names=full_feature_names)
        from tiffin.cli.views import online as online_views

        run.answer(online_views.document(answer), online_views.answer(answer))
