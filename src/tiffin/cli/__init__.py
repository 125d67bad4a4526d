"""The command line: parse, call, print.

::

    app          the program: global options, all commands
    tables, rows, versions, training, training_sets, services, serving, online, serve, keys, feast, upkeep, movies
                 the commands, by what they are about
    run          one run of a command: its store, its answer, how it ends
    options      options and arguments that several commands have
    asked        which features are asked for, and the keys of their tables
    conditions   `--where "year >= 1990"`; assignments `--entity user_id=7`
    formats      which file format; intake and spines read files, export writes them, delivery says where rows go
    views, training_views, online_views, grid, words
                 answers for people
    movie_tables, tmdb, demo
                 what `tiffin tmdb` and `tiffin demo` do

Only what `--help` needs is imported at the top of the modules with commands; the rest is imported by the command that
needs it.
"""

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the program and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter shows a question mark for it.
            stream.reconfigure(errors="replace")
    try:
        from tiffin.cli.app import app

        app(prog_name="tiffin")
    except KeyboardInterrupt:
        # While the program was loading; afterwards Typer does the same.
        sys.exit(130)
