"""Which names a server answers to, and which other origins' pages may call it.

A page in somebody's browser can reach a server on that person's machine. It must not get anything from it: neither by
letting its own name resolve to 127.0.0.1 (`Host`), nor by sending requests across origins (`Origin`).
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from tiffin.errors import Forbidden

if TYPE_CHECKING:
    from tiffin.server.options import ServerOptions

Headers = dict[bytes, bytes]

_MOST_REMEMBERED = 1000
_METHODS = b"GET, POST, PUT, PATCH, DELETE, HEAD"
_ASKED = b"Authorization, Content-Type, Content-Encoding, Accept, If-None-Match, Idempotency-Key, X-Request-ID"
_SHOWN = b"ETag, X-Request-ID, Retry-After, Content-Disposition"


class Hosts:
    """The names and origins of a server.

    Parameters
    ----------
    options : ServerOptions
        Names what is allowed beside addresses, `localhost` and this machine's name.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._allows_all = "*" in options.allowed_hosts
        names = {"localhost", socket.gethostname(), options.host, *options.allowed_hosts}
        self._names = {name.lower() for name in names}
        self._origins = {origin.encode() for origin in options.cors_origins}
        self._known: set[bytes] = set()

    def check(self, headers: Headers) -> None:
        """Refuse a request that a page on another site may have sent.

        Parameters
        ----------
        headers : dict of bytes to bytes
            The request's, names in lower case.

        Raises
        ------
        Forbidden
            It is addressed to a name that is not ours, or comes from an origin that is not allowed.
        """
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins and origin.partition(b"://")[2] != host:
            raise Forbidden(
                "pages of this origin may not call this server", hint="allow it: tiffin serve --cors-origin ORIGIN"
            )

    def _check_host(self, host: bytes) -> None:
        name = _without_port(host.decode("latin-1").lower())
        if not (self._allows_all or name in self._names or _is_address(name)):
            raise Forbidden(
                f"this server does not answer to the name {name[:100]!r}",
                hint="allow it: tiffin serve --allowed-host NAME",
            )
        if len(self._known) < _MOST_REMEMBERED:
            self._known.add(host)

    def is_preflight(self, method: str, headers: Headers) -> bool:
        """Tell whether a browser asks if a page may send what it wants to send."""
        return (
            method == "OPTIONS"
            and headers.get(b"origin") in self._origins
            and b"access-control-request-method" in headers
        )

    def allowance(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the headers that let a browser show an answer to a page of another origin; none by default."""
        origin = headers.get(b"origin")
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _SHOWN),
            (b"vary", b"Origin"),
        ]

    def preflight(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the headers that answer a preflight."""
        return [
            *self.allowance(headers),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", b"600"),
        ]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    # A page cannot have been loaded from an address that is not its server's: only names can be rebound.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
