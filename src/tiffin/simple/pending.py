"""Names of the guides that need the HTTP server, which this version does not have."""

from __future__ import annotations

from typing import NoReturn

from tiffin.errors import UnavailableError


def no_server(wanted: str) -> NoReturn:
    """Say that something needs the server.

    Parameters
    ----------
    wanted : str
        What the caller asked for.

    Raises
    ------
    UnavailableError
        Always.
    """
    raise UnavailableError(
        f"{wanted} needs the HTTP server, which this version of Tiffin does not have",
        hint="read and save in this process: SimpleFeatureStore and tiffin.FeatureStore work on the folder itself",
    )


class FeatureStoreClient:
    """A client of the HTTP server, which this version does not have.

    Parameters
    ----------
    base_url : str
        Where the server listens.

    Raises
    ------
    UnavailableError
        Always.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8001") -> None:
        no_server(f"FeatureStoreClient({base_url!r})")
