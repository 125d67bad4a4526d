"""What a table declares, changed in an editor: `tiffin describe TABLE --edit`."""

import click
from rich.text import Text

from tiffin.cli.commands.catalogue import ask
from tiffin.cli.run import Run
from tiffin.cli.views import catalogue as catalogue_views
from tiffin.definitions import Definitions, read, write
from tiffin.errors import InvalidInputError, StorageError

_HEAD = """\
# What {table} declares. Save and close to see what would change; nothing is done before you agree.
# A line that is taken out is taken away, except for the keys. Docs: catalogue.md
#
#   [tables."{table}"]                    description, owner, links = ["https://…"], ttl = "30d", online, rule
#   [tables."{table}".labels]             team = "search"
#   [tables."{table}".columns.COLUMN]     description, unit, owner, links, default; and labels like above

"""


def edit(run: Run, table: str, message: str) -> None:
    """Let someone edit what a table declares, show what that changes, ask, and do it.

    Raises
    ------
    CommitConflict
        Someone else declared it anew meanwhile.
    """
    seen = run.store.definitions([table])
    text = _HEAD.format(table=table) + write(run.store.definitions([table], every_column=True))
    wanted = _edited(run, text)
    if wanted is None:
        run.answer({"table": table, "changes": []}, Text("nothing was changed"))
        return
    if set(wanted.tables) != {table} or wanted.services:
        raise InvalidInputError(f"only table {table} is being edited", hint="use tiffin apply for several")
    planned = run.store.apply(wanted, plan=True, expected=seen)
    if planned.changes:
        run.err.print(*catalogue_views.changes(planned), sep="\n")
        ask(run, "Declare this?", "what is to change with tiffin declare TABLE --set FIELD=VALUE")
        planned = run.store.apply(wanted, expected=seen, message=message)
    run.answer(planned, *catalogue_views.changes(planned))
    for warning in planned.warnings:
        run.warn(warning)


def _edited(run: Run, text: str) -> Definitions | None:
    """Open the editor until what was written can be read; None if nothing was changed."""
    while True:
        try:
            written = click.edit(text, extension=".toml")
        except click.ClickException as error:
            raise StorageError(f"the editor cannot be run: {error.message}", hint="set EDITOR") from error
        if written is None or written == text:
            return None
        try:
            found = read(written)
        except InvalidInputError as error:
            run.complain(error)
            ask(run, "Edit it again?", "it with tiffin declare TABLE --set FIELD=VALUE")
            text = written
            continue
        # As with git, who leaves nothing has thought better of it.
        return found if found.tables or found.services else None
