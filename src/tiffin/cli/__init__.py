"""The command line: parse, call, print.

::

    app          the program: global options, all commands
    commands     by what they are about
    run          one run of a command: its store, its answer, how it ends
    arguments    what is written on the command line: options, `--where "year >= 1990"`, `--entity user_id=7`, fields
    files        frames and pictures in and out, and where the rows of an answer go
    views        answers as people read them
    demo         what `tiffin tmdb` and `tiffin demo` do

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
