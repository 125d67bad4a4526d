"""Serving a store: one process, or several that share a port."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
import uvloop
from uvicorn.config import STARTUP_FAILURE

from tiffin.access import keys_of
from tiffin.errors import InvalidInputError, StorageError, TiffinError
from tiffin.files import LOCAL, contained, make_folders, remove_tree
from tiffin.server.edge.logs import JsonFormatter
from tiffin.server.memory import settle, share_arenas
from tiffin.server.options import Limits, ServerOptions
from tiffin.server.supervisor import LAST_S, Supervisor
from tiffin.server.warned import hear_warnings
from tiffin.store import FeatureStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_STORE_VARIABLE = "TIFFIN_SERVED_STORE"
_OPTIONS_VARIABLE = "TIFFIN_SERVED_WITH"
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Of `prometheus_client`, which looks at it when it is imported."""

_MOST_FILES = 65_536
_BACKLOG = 2048
_HEALTH_S = 30
"""How long a worker may leave its supervisor without an answer before it is replaced, seconds."""


def serve(
    folder: str | Path, options: ServerOptions | None = None, *, ready: Callable[[str], None] | None = None
) -> None:
    """Serve a store until this process is told to stop, by SIGINT or SIGTERM.

    Requests under way are then finished, for `options.shutdown_s` at most; a second signal ends them. If a thread is
    still at work 5 seconds later, the process ends without it: what it has not committed by then was never saved.

    Parameters
    ----------
    folder : str or Path
        The store's.
    options : ServerOptions, optional
        How it is served.
    ready : callable, optional
        `ready(url)` is called once requests are answered.

    Raises
    ------
    InvalidInputError
        Others could reach the server and no key exists; the port is not to be had; the certificate is not valid.
    StorageError
        The store, its keys or a log cannot be opened, then or by a worker that is to replace another.
    """
    share_arenas()
    options = options or ServerOptions()
    store = FeatureStore(folder, record_code=False)
    _check_access(store.path, options)
    _check_tls(options)
    _raise_file_limit()
    log_failures()
    with _bound(options) as listener:
        url = _url(options, listener.getsockname()[1])
        if options.workers == 1:
            _serve_here(store, options, listener, lambda: ready and ready(url))
        else:
            store.close()
            _serve_with_workers(store.path, options, listener, lambda: ready and ready(url))


def worker_app() -> ASGIApp:
    """Make the app of a worker process, as its supervisor's environment says."""
    share_arenas()
    try:
        options = msgspec.json.decode(os.environ[_OPTIONS_VARIABLE], type=ServerOptions)
        _check_tls(options)
        store = FeatureStore(os.environ[_STORE_VARIABLE], record_code=False)
        app = _app(store, options)
    except TiffinError:
        log_failures()
        logging.getLogger("tiffin.server").exception("a worker cannot start")
        sys.exit(STARTUP_FAILURE)
    log_failures()
    atexit.register(store.close)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return app


def new_loop() -> uvloop.Loop:
    """Make the event loop of a server process."""
    return _Loop()


def log_failures() -> None:
    """Let what goes wrong in a server be written to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    # Uvicorn warns of every request that is not HTTP: whoever can reach the port could fill a disk.
    for name, level in (("tiffin.server", logging.WARNING), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)


class _Loop(uvloop.Loop):
    """Waits for a TLS handshake no longer than for the head of a request."""

    handshake_s = Limits().head_s

    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("ssl") is not None:
            kwargs["ssl_handshake_timeout"] = self.handshake_s
        return await super().create_server(*args, **kwargs)


class _Server(uvicorn.Server):
    """A server that says when it answers, and that a second signal ends at once."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002 - as uvicorn has it
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        _end_after((self.config.timeout_graceful_shutdown or 0) + LAST_S, status=0)


def _end_after(seconds: float, *, status: int) -> None:
    """End this process then, if it has not ended by itself: Python waits for threads for ever."""
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    timer.start()


def _serve_here(
    store: FeatureStore, options: ServerOptions, listener: socket.socket, ready: Callable[[], object]
) -> None:
    try:
        _Server(_config(_app(store, options), options), ready).run([listener])
    finally:
        store.close()


def _serve_with_workers(
    store: Path, options: ServerOptions, listener: socket.socket, ready: Callable[[], object]
) -> None:
    with _metrics_folder(store) as folder:
        os.environ[_STORE_VARIABLE] = str(store)
        os.environ[_OPTIONS_VARIABLE] = msgspec.json.encode(options).decode()
        os.environ[_METRICS_VARIABLE] = str(folder)
        try:
            config = _config("tiffin.server.run:worker_app", options)
            supervisor = Supervisor(config, [listener], ready, patience_s=options.shutdown_s + LAST_S)
            supervisor.run()
        finally:
            for name in (_STORE_VARIABLE, _OPTIONS_VARIABLE, _METRICS_VARIABLE):
                del os.environ[name]
    if supervisor.has_failed:
        raise StorageError(
            f"a worker of the server of {str(store)!r} could not start, and all were stopped",
            hint="standard error says why, in the line before",
        )


def _app(store: FeatureStore, options: ServerOptions) -> ASGIApp:
    # Here, because with several workers the figures' library must see their folder when it is imported.
    from tiffin.server.app import create_app  # noqa: PLC0415 - see above

    _Loop.handshake_s = options.limits.head_s
    app = create_app(store, options)
    hear_warnings()
    settle()
    return app


def _config(app: ASGIApp | str, options: ServerOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=options.workers,
        loop="tiffin.server.run:new_loop",
        http="tiffin.server.edge.protocol:GuardedProtocol",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=max(1, round(options.limits.idle_s)),
        timeout_graceful_shutdown=max(1, round(options.shutdown_s)),
        timeout_worker_healthcheck=_HEALTH_S,
        ssl_certfile=options.tls_certificate or None,
        ssl_keyfile=options.tls_key or None,
    )


def _check_access(store: Path, options: ServerOptions) -> None:
    if not (options.is_loopback or options.insecure or keys_of(store).exist()):
        raise InvalidInputError(
            f"{options.host} can be reached by other machines, and this store has no API keys",
            hint="create a key (tiffin keys create NAME), or let everyone do everything (--insecure)",
            host=options.host,
        )


def _check_tls(options: ServerOptions) -> None:
    if not options.tls_certificate:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_certificate, options.tls_key)
    except OSError as error:  # an SSLError is one
        raise InvalidInputError(
            f"the certificate {options.tls_certificate!r} cannot be used with {options.tls_key!r}: {error}",
            hint="name PEM files: a certificate chain and its private key, without a passphrase",
        ) from error


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have, within reason: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _bound(options: ServerOptions) -> Iterator[socket.socket]:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InvalidInputError(
            f"cannot listen on {options.host} port {options.port}: {error.strerror or error}",
            hint="choose another --port, or end the program that has it",
        ) from error
    listener.set_inheritable(True)
    with listener:
        yield listener


def _url(options: ServerOptions, port: int) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.tls_certificate else 'http'}://{host}:{port}"


@contextmanager
def _metrics_folder(store: Path) -> Iterator[Path]:
    """Make a folder in which workers keep their figures; it goes in the end, and so do those of servers that died."""
    parent = contained(store, "cache", "metrics")
    make_folders(LOCAL, parent)
    for name in LOCAL.names(parent):
        with LOCAL.lock(parent / name / ".lock", wait=False) as is_dead:
            if is_dead:
                remove_tree(LOCAL, parent / name)
    folder = contained(parent, os.urandom(8).hex())
    make_folders(LOCAL, folder)
    with LOCAL.lock(folder / ".lock"):
        try:
            yield folder
        finally:
            remove_tree(LOCAL, folder)


def _end_with_supervisor() -> None:
    """Stop this worker when its supervisor has died, which cannot tell it to."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        options = msgspec.json.decode(os.environ[_OPTIONS_VARIABLE], type=ServerOptions)
        _end_after(options.shutdown_s + LAST_S, status=1)
        os.kill(os.getpid(), signal.SIGTERM)
