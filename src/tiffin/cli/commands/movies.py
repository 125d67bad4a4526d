"""The commands about movies: tmdb and demo."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from tiffin.cli.arguments.options import JsonOption, MessageOption, StoreOption, example, value_of
from tiffin.cli.run import running
from tiffin.errors import InvalidInputError

commands = typer.Typer()

RatingsOption = Annotated[
    str | None,
    typer.Option(
        "--ratings", metavar="FILE", help="Ratings of the movies: user_id, movie_id, rating, event_timestamp."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Chooses what is made up.")]


@commands.command(
    rich_help_panel="Movies",
    epilog=example("tiffin tmdb movies.jsonl.gz --ratings ratings.parquet", "tiffin tmdb --synthetic 1000"),
)
def tmdb(
    ctx: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Movies in TMDB's shape: CSV, Parquet, JSON or JSON lines, also .gz."),
    ] = None,
    *,
    synthetic: Annotated[
        int | None, typer.Option("--synthetic", metavar="N", min=1, help="Make up N movies instead.")
    ] = None,
    ratings: RatingsOption = None,
    seed: SeedOption = 0,
    now: Annotated[
        str | None, typer.Option("--now", metavar="DAY", help="Day that ages are counted to. Default: today, UTC.")
    ] = None,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build features of TMDB movies and save them as the tables content/movie_genres, content/movie_ratings and so on.

    With --ratings also user/user_preferences and interaction/user_movie_interactions; without, made-up interactions
    go to interaction/synthetic_interactions.
    """
    with running(ctx, store, as_json) as run:
        day = value_of("--now", _day, now) or datetime.now(UTC).date()
        if (file is None) == (synthetic is None):
            raise typer.BadParameter("name a file of movies, or say --synthetic N", param_hint="FILE")
        from tiffin.cli.demo import tmdb as work

        built = work.build(run, work.Sources(file, ratings, synthetic or 0, seed), day)
        saved = work.save(run, built, message)
        run.answer(saved, *work.views(saved))


@commands.command(
    rich_help_panel="Movies",
    epilog=example("tiffin demo", "tiffin demo --movies movies.jsonl.gz --ratings ratings.parquet --store movie_store"),
)
def demo(
    ctx: typer.Context,
    *,
    movies: Annotated[
        str | None, typer.Option("--movies", metavar="FILE", help="Movies in TMDB's shape; made up if left out.")
    ] = None,
    ratings: RatingsOption = None,
    seed: SeedOption = 0,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FOLDER", help="The store's folder. Default: demo_store.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what Tiffin does, on movies and ratings of your own or made up, with figures measured on the way.

    Builds features, saves them, reads them back through both caches and compares, saves a second version, and shows
    what changed. Predicts each rating from what was known just before it, proves the training frame by plain loops, and
    serves the features. In a store that is there already each table gets new versions; none is lost.
    """
    with running(ctx, store, as_json, default=Path("demo_store")) as run:
        if ratings is not None and movies is None:
            raise typer.BadParameter("name the movies that are rated too: --movies FILE", param_hint="--ratings")
        from tiffin.cli.demo import course, report

        shown = course.show(run, movies, ratings, seed)
        run.answer(shown, *report.views(shown))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a day", hint="write it like 2024-05-31") from None
