"""How a server is reached: where it is, who asks, and how much patience there is."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from tiffin.errors import InvalidInputError

KEY_VARIABLE = "TIFFIN_API_KEY"


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """How a server is reached.

    Raises
    ------
    InvalidInputError
        A value is not allowed.
    """

    url: str
    """`http://host:port` or `https://…`, and a path if the server stands behind one."""
    key: str | None = field(default=None, repr=False)
    """API key; it is sent to this server alone."""
    timeout_s: float = 120.0
    """Seconds that a call may take, with all its attempts."""
    connect_timeout_s: float = 5.0
    """Seconds until a connection is there."""
    read_timeout_s: float = 65.0
    """Seconds in which nothing comes: a little longer than a server thinks about an answer at most."""
    retries: int = 4
    """How often what is safe to repeat is repeated."""
    answer_bytes: int = 4 << 30
    """Bytes of one answer, as sent and with its compression undone: a broken server must not fill the memory."""
    connections: int = 64
    """Connections that are kept open; on an event loop there are no more, and calls wait for their turn."""
    ca_file: str | None = None
    """PEM file with the authorities that may vouch for the server; those of the system if left out."""
    proxy: str | None = field(default=None, repr=False)
    """Where requests are sent on from."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.proxy is not None and not _is_proxy(self.proxy):
            # Without it: it may hold a password.
            raise InvalidInputError(
                "the proxy is none of HTTP", hint="write its address like http://proxy.example:3128"
            )
        for name in ("timeout_s", "connect_timeout_s", "read_timeout_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InvalidInputError(f"{name} is {value!r}", hint="give a number of seconds above zero")
        for name, least, most in (("retries", 0, 100), ("connections", 1, 100_000), ("answer_bytes", 1, 1 << 50)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InvalidInputError(f"{name} is {value!r}", hint=f"give a whole number from {least} to {most:,}")
        if self.key is not None and not _is_key(self.key):
            # Without the key: what is logged of this must not hold it.
            raise InvalidInputError(
                "the API key is not one", hint=f"give the text that `tiffin keys create` printed, or set {KEY_VARIABLE}"
            )

    @cached_property
    def is_local(self) -> bool:
        """Whether the server is on this machine: then it costs more to compress a body than to send it."""
        return _is_loopback(urlsplit(self.url).hostname or "")


def _is_proxy(address: object) -> bool:
    if not (isinstance(address, str) and address.isprintable() and " " not in address):
        return False
    try:
        parts = urlsplit(address)
        return (
            parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
        )
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment names for an address.

    Parameters
    ----------
    url : str
        The server's address; one on this machine needs none.
    environ : mapping of str to str
        The environment: `http_proxy`, `https_proxy` and `no_proxy`, in small letters or capitals.
    """
    parts = _check_url(url)
    named = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy")}
    host = (parts.hostname or "").lower()
    if _is_loopback(host) or _is_spared(host, parts.netloc.lower(), named.get("no_proxy", "")):
        return None
    return named.get(f"{parts.scheme}_proxy") or named.get("all_proxy") or None


def _is_spared(host: str, netloc: str, no_proxy: str) -> bool:
    """Tell whether `no_proxy` names a host, with or without its port, or a domain that it is in."""
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",") if name.strip()]
    return any(name in {"*", host, netloc} or host.endswith(f".{name}") for name in names)


def _check_url(url: object) -> SplitResult:
    hint = "write it like http://127.0.0.1:8001"
    if not isinstance(url, str):
        raise InvalidInputError(f"the server's address is {url!r}", hint=hint)
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        is_whole = is_whole and url.isascii() and url.isprintable() and " " not in url
        # A name that cannot be looked up, as with two dots in a row, cannot be written so.
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_whole = False
    if is_whole and parts.username is None and parts.password is None and not parts.query and not parts.fragment:
        return parts
    if "@" in url:
        # What stands before it may be a password: it is not shown.
        raise InvalidInputError("the server's address holds a user or a password", hint="give the API key as key=")
    raise InvalidInputError(f"{url!r} is not the address of a server", hint=hint)


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 1000 and key.isascii() and key.isprintable() and " " not in key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
