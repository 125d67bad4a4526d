"""The commands about API keys: create, list, revoke."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.arguments.options import JsonOption, StoreOption, example
from tiffin.cli.run import running
from tiffin.cli.views import words

if TYPE_CHECKING:
    from tiffin.access import Key

commands = typer.Typer(
    name="keys",
    help="API keys: who may use the store over HTTP, and for what.",
    no_args_is_help=True,
    rich_help_panel="Serving",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called, in lists and logs.")]


@commands.command(
    epilog=example(
        "tiffin keys create dashboard",
        "tiffin keys create trainer --scope write --group 'movie*' --group user --expires 90d",
    )
)
def create(
    ctx: typer.Context,
    name: NameArgument,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", help="read, write or admin, each with those before it. Default: read."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="PATTERN", help="Groups it covers, with * and ?. Can be repeated. Default: all."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="How long it is good for: 90d, 12h.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show its secret, once.

    As soon as a store has a key, every request to its servers must show one, except for the state of the server and
    its documentation.
    """
    with running(ctx, store, as_json) as run:
        from datetime import UTC, datetime

        import msgspec

        from tiffin.access import keys_of
        from tiffin.schema.durations import parse_duration

        until = None if expires is None else datetime.now(UTC) + parse_duration(expires)
        key, secret = keys_of(run.store.path).create(name, scope or ["read"], group or ["*"], until)
        run.answer({**msgspec.structs.asdict(key), "secret": secret}, *_created(key, secret))


@commands.command("list", epilog=example("tiffin keys list", "tiffin keys list --json"))
def show(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the keys, without their secrets; those that were revoked or have expired too."""
    with running(ctx, store, as_json) as run:
        from tiffin.access import keys_of

        keys = keys_of(run.store.path).keys()
        none = Text(f"no keys in {run.store.path}: whoever reaches its server on this machine may do everything")
        run.answer(keys, _listing(keys) if keys else none)


@commands.command(epilog=example("tiffin keys revoke dashboard"))
def revoke(ctx: typer.Context, name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Refuse a key from now on; running servers follow within half a second."""
    with running(ctx, store, as_json) as run:
        from tiffin.access import keys_of

        key = keys_of(run.store.path).revoke(name)
        run.answer(key, Text.assemble(("revoked ", "green"), "key ", (name, "bold")))


def _created(key: "Key", secret: str) -> Iterator[RenderableType]:
    about = f" · {', '.join(key.scopes)} · groups {', '.join(key.groups)}"
    yield Text.assemble(("created ", "green"), "key ", (key.name, "bold"), about, f" · {_end(key)}")
    yield Text(secret, style="bold", overflow="fold")
    yield Text("This is shown once. Send it with each request: Authorization: Bearer tfn_…", style="dim")


def _listing(keys: "list[Key]") -> RenderableType:
    from tiffin.cli.views.tables import listing

    table = listing("key", "scopes", "groups", "created", "state")
    for key in keys:
        table.add_row(
            Text(key.name, style="bold"),
            ", ".join(key.scopes),
            ", ".join(key.groups),
            f"{words.clock(key.created)} UTC",
            _end(key),
        )
    return table


def _end(key: "Key") -> str:
    from datetime import UTC, datetime

    if key.revoked is not None:
        return f"revoked {words.clock(key.revoked)} UTC"
    if key.expires is None:
        return "never expires"
    tense = "expires" if key.is_valid(datetime.now(UTC)) else "expired"
    return f"{tense} {words.clock(key.expires)} UTC"
