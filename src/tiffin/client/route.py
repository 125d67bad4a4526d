"""Where a client's connections go, and what every request says."""

from __future__ import annotations

import base64
import ssl
from functools import cached_property
from urllib.parse import SplitResult, unquote, urlsplit

from tiffin.client.options import ClientOptions
from tiffin.version import __version__

_PORTS = {"http": 80, "https": 443}


class Route:
    """The way to a server, which a proxy may stand in.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    coding : str
        What the client can decode, as `Accept-Encoding` has it.

    Attributes
    ----------
    host, port : str, int
        What connections are made to: the proxy, or else the server.
    tunnel : bytes or None
        What a proxy is asked first for a connection to a server that TLS is spoken with.
    tls_name : str or None
        Whom the server must prove to be, if TLS is spoken with it.
    before_path : str
        What stands before the path of each request.
    said : str
        The headers that all requests have, a line each.
    """

    def __init__(self, options: ClientOptions, coding: str) -> None:
        there = urlsplit(options.url)
        proxy = None if options.proxy is None else urlsplit(options.proxy)
        near = proxy or there
        self._ca_file = options.ca_file
        self.host, self.port = near.hostname or "", near.port or _PORTS[near.scheme]
        self.tls_name = there.hostname if there.scheme == "https" else None
        self.tunnel: bytes | None = None
        said = [f"Host: {there.netloc}", f"User-Agent: tiffin/{__version__}", f"Accept-Encoding: {coding}"]
        if options.key is not None:
            said.append(f"Authorization: Bearer {options.key}")
        self.before_path = there.path.rstrip("/")
        if proxy and self.tls_name is None:
            # A proxy of plain HTTP is told the whole address, and who asks, with each request.
            self.before_path = options.url.rstrip("/")
            said += _credentials(proxy)
        elif proxy:
            end = there.netloc if there.port else f"{there.netloc}:{_PORTS[there.scheme]}"
            lines = [f"CONNECT {end} HTTP/1.1", f"Host: {end}", *_credentials(proxy)]
            self.tunnel = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
        self.said = "".join(f"{line}\r\n" for line in said)

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """How TLS is spoken with the server; None if it is not."""
        return None if self.tls_name is None else ssl.create_default_context(cafile=self._ca_file)

    def check_tunnel(self, status: int) -> None:
        """Check what a proxy answers to being asked for a tunnel.

        Raises
        ------
        ConnectionError
            It does not let anything through.
        """
        if not 200 <= status < 300:
            raise ConnectionError(f"the proxy {self.host}:{self.port} lets nothing through: HTTP {status}")


def _credentials(proxy: SplitResult) -> list[str]:
    if proxy.username is None:
        return []
    said = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [f"Proxy-Authorization: Basic {base64.b64encode(said.encode()).decode()}"]
