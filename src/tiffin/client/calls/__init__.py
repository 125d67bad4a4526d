"""What each method of a store asks of the server, once for both clients."""

from tiffin.client.calls import guides, online, services, tables, training, upkeep

__all__ = ["guides", "online", "services", "tables", "training", "upkeep"]
