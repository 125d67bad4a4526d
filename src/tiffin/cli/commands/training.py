"""The commands about training frames: train, explain, leakage."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.arguments.asked import FeaturesOption, FullNamesOption, ServiceOption, asked_for, keys_of
from tiffin.cli.arguments.assignments import value_of_type
from tiffin.cli.arguments.options import (
    FormatOption,
    JsonOption,
    StoreOption,
    complete_table,
    example,
    moment_of,
    value_of,
)
from tiffin.cli.files.delivery import OutputOption, check_apart, deliver, target_of
from tiffin.cli.files.formats import STREAM, Format, format_of
from tiffin.cli.run import Run, running
from tiffin.errors import InvalidInputError
from tiffin.schema.durations import parse_duration

if TYPE_CHECKING:
    import polars as pl

    from tiffin.features import Features

commands = typer.Typer()

_PANEL = "Training"

_SPINE = "File with entity keys and times: CSV, Parquet, JSON or JSON lines, also .gz; - is standard input."
SpineArgument = Annotated[str, typer.Argument(metavar="SPINE", help=_SPINE)]
AnySpineArgument = Annotated[str | None, typer.Argument(metavar="SPINE", help=_SPINE)]
TtlOption = Annotated[
    str | None,
    typer.Option("--ttl", metavar="DURATION", help="How long a row stays true, as in 30d; wins over the tables' own."),
]
KnownAtOption = Annotated[
    str | None,
    typer.Option(
        "--known-at",
        metavar="TIME",
        help="Ignore what was committed (or created, if the table says when) later; a time, or a column of the spine.",
    ),
]
TimestampOption = Annotated[
    str | None,
    typer.Option("--timestamp", metavar="COLUMN", help="Column of the spine that says as of when; found if clear."),
]
SpineFormatOption = Annotated[
    Format | None,
    typer.Option("--spine-format", help="Format of the spine, where its name does not tell."),
]


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin train spine.csv --features user/ratings:mean -o frame.parquet",
        "tiffin train spine.csv --features user/ratings --ttl 30d --save first_try -o frame.parquet",
        "tiffin train --features user/ratings --start 2024-05-03 --end 2024-05-10 --format jsonl",
    ),
)
def train(
    ctx: typer.Context,
    spine: AnySpineArgument = None,
    *,
    features: FeaturesOption = None,
    service: ServiceOption = None,
    output: OutputOption = None,
    timestamp: TimestampOption = None,
    ttl: TtlOption = None,
    known_at: KnownAtOption = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", help="Without a spine: rows of the tables from then on.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Without a spine: rows of the tables up to then.")
    ] = None,
    full_feature_names: FullNamesOption = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="NAME", help="Save the training set, to make it again.")
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is, for --save.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Let --save take the place of one of that name.")] = False,
    spine_form: SpineFormatOption = None,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a training frame: each row of a spine with its features as they were at the row's time.

    The rows of the spine stay as they are and in their order; where nothing was known a feature is null, or its
    default. Beside the output goes FILE.lock.json: the versions and hashes that the frame was made from. Without a
    spine there is a row for each entity as of now, or for each time from --start to --end at which it has one.
    """
    with running(ctx, store, as_json) as run:
        _check_saving(save, description, replace=replace)
        asked = asked_for(run, features, service, "--features")
        known = _known(known_at, has_spine=spine is not None)
        lasting = value_of("--ttl", parse_duration, ttl)
        period = [value_of(option, moment_of, text) for option, text in (("--start", start), ("--end", end))]
        form_of_spine = _form_of_spine(spine, spine_form)
        target = target_of(run, output, form)
        check_apart(spine, target)
        with run.advancing("joining") as advance:
            rows = None if spine is None else _spine(run, spine, form_of_spine, asked, (timestamp, known))
            frame = run.store.get_historical_features(
                rows,
                asked,
                timestamp=timestamp,
                ttl=lasting,
                known_at=known,
                start=period[0],
                end=period[1],
                full_feature_names=full_feature_names,
                progress=advance,
            )

        def keep() -> None:
            if save is not None:
                with run.busy(f"saving {save}"):
                    run.store.save_training_set(save, frame, description=description, replace=replace)

        deliver(run, frame, target, keep=keep)


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin explain user/ratings:mean 4 --at 2024-05-06",
        "tiffin explain user/ratings 4 --known-at 2100-01-01 --json",
    ),
)
def explain(
    ctx: typer.Context,
    reference: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="group/name:feature, or group/name for all features; pinned as group/name@3.",
            autocompletion=complete_table,
        ),
    ],
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Whose: 7; of two columns 7:42; nothing if there is no entity.")
    ] = None,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As of when: 2024-05-31T12:00, UTC. Default: now.")
    ] = None,
    ttl: TtlOption = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", metavar="TIME", help="Ignore what was committed or created later.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which row of which commit gives a feature its value, and why no other row does."""
    with running(ctx, store, as_json) as run:
        moment, known = value_of("--at", moment_of, at), value_of("--known-at", moment_of, known_at)
        lasting = value_of("--ttl", parse_duration, ttl)
        with run.busy(f"looking into {reference}"):
            entity = _entity(run, reference, key)
            found = run.store.explain(reference, entity, moment, ttl=lasting, known_at=known)
        from tiffin.cli.views import training as training_views

        run.answer(found.to_dict(), *training_views.explanation(found))


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example("tiffin leakage spine.csv --features user/ratings --label clicked"),
)
def leakage(
    ctx: typer.Context,
    spine: SpineArgument,
    *,
    label: Annotated[
        str, typer.Option("--label", metavar="COLUMN", help="Column of the spine that a model is to predict.")
    ],
    features: FeaturesOption = None,
    service: ServiceOption = None,
    timestamp: TimestampOption = None,
    ttl: TtlOption = None,
    known_at: KnownAtOption = None,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for features that know what is not yet known at the label's time.

    Exit status 1 if there is a warning, so that it can stand before a training.
    """
    with running(ctx, store, as_json) as run:
        asked = asked_for(run, features, service, "--features")
        known = _known(known_at, has_spine=True)
        lasting = value_of("--ttl", parse_duration, ttl)
        form = _form_of_spine(spine, form)
        with run.busy("looking for leaks"):
            rows = _spine(run, spine, form, asked, (timestamp, known))
            found = run.store.check_leakage(rows, asked, label=label, timestamp=timestamp, ttl=lasting, known_at=known)
        from tiffin.cli.views import training as training_views

        run.answer(found.to_dict(), *training_views.leakage(found))
    if not found.ok:
        raise typer.Exit(1)


def _check_saving(save: str | None, description: str, *, replace: bool) -> None:
    for option, is_given in (("--description", bool(description)), ("--replace", replace)):
        if is_given and save is None:
            raise typer.BadParameter("it is about the training set that --save names", param_hint=option)


def _spine(
    run: Run, file: str, form: Format | None, asked: "Features", times: Iterable[datetime | str | None]
) -> "pl.DataFrame":
    """Read a spine; the times are columns, if they are names."""
    from tiffin.cli.files import spines

    return spines.read(file, form, keys_of(run, asked), [name for name in times if isinstance(name, str)])


def _entity(run: Run, reference: str, key: str | None) -> dict[str, Any] | None:
    """Read a key as values of the entity columns' types."""
    columns = keys_of(run, [reference]).entity
    texts = [] if key is None else key.split(":", max(len(columns) - 1, 0))
    if len(texts) != len(columns):
        needed = ":".join(columns) or "no key"
        raise typer.BadParameter(f"the entity of {reference} takes {needed}", param_hint="KEY")
    return {name: value_of_type(text, columns[name], name) for name, text in zip(columns, texts, strict=True)} or None


def _known(text: str | None, *, has_spine: bool) -> datetime | str | None:
    """Read a time, or else the name of a column."""
    if text is None:
        return None
    try:
        return moment_of(text)
    except InvalidInputError:
        if not has_spine:
            raise typer.BadParameter(f"{text!r} is not a time", param_hint="--known-at") from None
        return text


def _form_of_spine(spine: str | None, form: Format | None) -> Format | None:
    if form is None and spine not in {None, STREAM}:
        return value_of("SPINE", format_of, spine)
    return form
