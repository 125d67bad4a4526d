"""Ports for servers that cannot say which one the system gave them."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Find a port of this machine that nobody has, and that the system gives to nobody by itself.

    One that the system gave, and took back, it may give to another before the server is there.
    """
    low, high = map(int, _GIVEN_AWAY.read_text().split()) if _GIVEN_AWAY.exists() else (49_152, 65_535)
    ports = [*range(10_000, low), *range(high + 1, 65_536)] or list(range(10_000, 65_536))
    for port in random.sample(ports, len(ports)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("every port of this machine is taken")
