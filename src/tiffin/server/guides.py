"""The guides' server class."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tiffin.server.options import ServerOptions
from tiffin.store import FeatureStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tiffin.simple import OptimizedStorage, SimpleFeatureStore


class SimpleFeatureStoreAPI:
    """The REST server of a store.

    Parameters
    ----------
    storage : OptimizedStorage, SimpleFeatureStore or FeatureStore
        What is served.

    Attributes
    ----------
    store : FeatureStore
        The store behind it.
    """

    def __init__(self, storage: OptimizedStorage | SimpleFeatureStore | FeatureStore) -> None:
        self.store = storage if isinstance(storage, FeatureStore) else storage.store

    @cached_property
    def app(self) -> ASGIApp:
        """The ASGI app, for a server of your own; `run` also keeps slow and many clients at bay."""
        from tiffin.server.app import create_app  # noqa: PLC0415 - FastAPI takes long to import

        return create_app(self.store, ServerOptions())

    def run(self, host: str = "127.0.0.1", port: int = 8001) -> None:
        """Serve until the server is stopped; see `FeatureStore.start_api_server`.

        Parameters
        ----------
        host : str
            Address to listen on.
        port : int
            Port to listen on.

        Raises
        ------
        StorageError
            The server could not start, or failed.
        """
        self.store.start_api_server(host, port)
