"""API keys: who may use a store over the network, and for what."""

from tiffin.access.keys import PREFIX, SCOPES, Key, Keys, Scope, keys_of

__all__ = ["PREFIX", "SCOPES", "Key", "Keys", "Scope", "keys_of"]
