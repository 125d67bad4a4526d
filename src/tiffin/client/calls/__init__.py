"""What each method of a store asks of the server, once for both clients."""

from tiffin.client.calls import (
    catalogue,
    constraints,
    derived,
    evolution,
    guides,
    online,
    services,
    tables,
    training,
    upkeep,
    versions,
)

__all__ = [
    "catalogue",
    "constraints",
    "derived",
    "evolution",
    "guides",
    "online",
    "services",
    "tables",
    "training",
    "upkeep",
    "versions",
]
