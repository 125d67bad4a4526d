"""The command that serves a store over HTTP: serve."""

import os
import signal
import sys
import threading
from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import JsonOption, StoreOption, example
from tiffin.cli.run import running

commands = typer.Typer(rich_help_panel="Serving")


@commands.command(
    epilog=example(
        "tiffin serve",
        "tiffin serve --port 9000 --workers 4",
        "tiffin serve --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key",
    )
)
def serve(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port; 0 takes any that is free.")] = 8001,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Processes that share the port.")] = 1,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without any key: they may do everything.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="Name that requests may be addressed to, beside addresses, localhost and this machine's name. "
            "Can be repeated.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="Origin whose pages may call from a browser (https://app.example). Can be repeated.",
        ),
    ] = None,
    tls_certificate: Annotated[
        str, typer.Option("--tls-certificate", metavar="FILE", help="PEM file with the certificate chain.")
    ] = "",
    tls_key: Annotated[
        str, typer.Option("--tls-key", metavar="FILE", help="PEM file with the certificate's private key.")
    ] = "",
    access_log: Annotated[
        str,
        typer.Option("--access-log", metavar="FILE", help="File that gets a line per request; - is standard error."),
    ] = "",
    audit_log: Annotated[
        str,
        typer.Option(
            "--audit-log",
            metavar="FILE",
            help="File that gets a line per write and refusal; - is standard error. "
            "Default: logs/audit.jsonl in the store.",
        ),
    ] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=N", help="Another limit (body_bytes=1000000). Can be repeated."),
    ] = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="Stop when standard input ends, as it does with the program before it.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the store over HTTP until it is stopped.

    Without API keys only this machine can be served. `tiffin keys create` makes one; from then on each request must
    show a key. Ctrl-C, or SIGTERM, lets requests under way finish; a second one does not.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.server.options import ServerOptions, limits_of
        from tiffin.server.run import serve as serve_store

        options = ServerOptions(
            host=host,
            port=port,
            workers=workers,
            insecure=insecure,
            allowed_hosts=tuple(allowed_host or ()),
            cors_origins=tuple(cors_origin or ()),
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            access_log=access_log,
            audit_log=audit_log,
            limits=limits_of(limit or []),
        )

        def ready(url: str) -> None:
            line = Text.assemble(("serving ", "green"), (str(run.store.path), "bold"), f" at {url}")
            pages = Text(f"documentation: {url}/docs · stop: Ctrl-C", style="dim")
            run.answer(
                {"url": url, "docs": f"{url}/docs", "store": str(run.store.path), "workers": workers}, line, pages
            )

        if attached:
            threading.Thread(target=_stop_with_input, daemon=True).start()
        serve_store(run.store.path, options, ready=ready)


def _stop_with_input() -> None:
    """Stop this process as SIGTERM does once standard input ends."""
    # Not through Python's buffer, whose lock would be in the way when the process ends otherwise.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
