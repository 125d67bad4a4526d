"""What can be set about a server. Plain data: it travels to the worker processes as JSON."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import msgspec

from tiffin.config import parse_size
from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema.durations import parse_duration

_MIB = 1024**2


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one client may ask of one worker process. Every value is above zero.

    Raises
    ------
    InvalidInputError
        A limit is zero or less.
    """

    body_bytes: int = 64 * _MIB
    """Bytes of a request's body as sent."""
    decompressed_bytes: int = 256 * _MIB
    """Bytes of a request's body after gzip or zstd is undone."""
    all_bodies_bytes: int = 512 * _MIB
    """Bytes of the bodies of all requests under way; the next one is told to try again."""
    header_bytes: int = 16 * 1024
    """Bytes of a request's first line and headers."""
    json_depth: int = 32
    """How deep arrays and objects of a JSON body may be nested."""
    rows_per_request: int = 1_000_000
    """Rows of a frame that is sent in."""
    rows_per_answer: int = 1_000_000
    """Rows of a frame that is answered as JSON or CSV, and of one page."""
    columns_per_request: int = 10_000
    """Columns of a frame that is sent in."""
    references_per_request: int = 10_000
    """References of a request, to features or tables."""
    entities: int = 10_000
    """Entities of one online request."""
    concurrent_requests: int = 512
    """Requests under way at once; the next one is told to try again."""
    request_s: float = 60.0
    """Seconds from the head of a request to the beginning of its answer."""
    head_s: float = 10.0
    """Seconds for a client to send the head of a request, and for a TLS handshake."""
    stall_s: float = 10.0
    """Seconds that sending a body or fetching an answer may stand still; see `bytes_per_s`."""
    bytes_per_s: int = 16 * 1024
    """Slowest lasting pace at which a body may be sent or an answer fetched."""
    idle_s: float = 60.0
    """Seconds that a connection is kept open for the next request."""
    connections: int = 4096
    """Open connections; fewer if the process may not open that many files twice over."""
    connections_per_address: int = 256
    """Open connections from one address. Where one is too many, the oldest that waits for its client is closed."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise InvalidInputError(f"limit {name} is {getattr(self, name)!r}", hint="give a number above zero")


def limits_of(texts: Iterable[str]) -> Limits:
    """Read limits as people write them on a command line.

    Parameters
    ----------
    texts : iterable of str
        `name=value`; a value is a number, with a unit if need be: `body_bytes=16MiB`, `request_s=2m`.

    Raises
    ------
    InvalidInputError
        There is no such limit, or the value is none.
    """
    limits: dict[str, int | float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in Limits.__struct_fields__:
            raise InvalidInputError(f"{name!r} is not a limit", hint=did_you_mean(name, Limits.__struct_fields__))
        limits[name] = parse_duration(value).total_seconds() if name.endswith("_s") else parse_size(value)
    return Limits(**limits)  # type: ignore[arg-type]  # those in bytes and numbers are whole


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a store is served.

    Raises
    ------
    InvalidInputError
        A value is not allowed, or two do not go together.
    """

    host: str = "127.0.0.1"
    """The address to listen on. Any but this machine's own needs keys, or `insecure`."""
    port: int = 8001
    """0 takes any that is free."""
    workers: int = 1
    """Processes that share the port."""
    insecure: bool = False
    """Serve other machines although no key exists: whoever reaches the port may do everything."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that requests may be addressed to (`Host`), beside addresses, `localhost` and this machine's name;
    `*` allows all."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the server from a browser, such as `https://app.example`; none by default."""
    tls_certificate: str = ""
    """PEM file with the certificate chain; needs `tls_key`."""
    tls_key: str = ""
    """PEM file with the certificate's private key."""
    access_log: str = ""
    """File that gets a JSON line per request; `-` is standard error. Off by default."""
    audit_log: str = ""
    """File that gets a JSON line per write, administration and refusal; `-` is standard error. By default
    `logs/audit.jsonl` in the store."""
    shutdown_s: float = 30.0
    """Seconds that requests under way get to finish when the server is stopped."""
    limits: Limits = msgspec.field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise InvalidInputError(f"port is {self.port}", hint="give a number from 0 to 65535")
        if not 1 <= self.workers <= 256:
            raise InvalidInputError(f"workers is {self.workers}", hint="give a number from 1 to 256")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise InvalidInputError("TLS needs both a certificate and its key", hint="give both PEM files")
        for origin in self.cors_origins:
            if not origin.startswith(("http://", "https://")) or origin.rstrip("/") != origin:
                raise InvalidInputError(
                    f"{origin!r} is not an origin",
                    hint="write it like https://app.example; a star would let every page in the world call this server",
                )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
