"""The face of Tiffin: `FeatureStore` wires the layers below together and decides nothing itself.

Its methods are kept by verb: `save`, `read` and `keep`, over what `opened` wires.
"""

from typing import Any

from tiffin.errors import NotYetAvailable
from tiffin.store.keep import Keeping, Stats
from tiffin.store.read import Reading
from tiffin.store.save import Saving

__all__ = ["FeatureStore", "Stats"]

_TO_COME = {
    "check_leakage": "point-in-time training frames",
    "create_service": "feature services",
    "explain": "point-in-time training frames",
    "get_historical_features": "point-in-time training frames",
    "get_online_features": "the online index",
    "materialize": "the online index",
    "prepare": "the online index",
    "profile": "profiles",
    "push": "the online index",
    "reproduce": "point-in-time training frames",
    "save_training_set": "point-in-time training frames",
    "start_api_server": "the server",
    "verify": "the online index",
}


class FeatureStore(Saving, Reading, Keeping):
    """A feature store in a folder.

    Parameters
    ----------
    path : str or Path
        The folder; made on the first save.
    **settings : object
        Settings for this store object, over those of the environment and of `config/tiffin.toml`:
        `compression="snappy"`, `memory_cache_bytes="1GiB"`, … (`tiffin.config.Settings` lists them).

    Raises
    ------
    StorageError
        The path is a file.
    InvalidInputError
        A setting is unknown or not allowed.

    Examples
    --------
    >>> import tiffin
    >>> store = tiffin.FeatureStore("feature_store")
    >>> commit = store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id")
    >>> store.read("user/ratings").to_polars()["mean"].to_list()
    [4.5]
    """

    def __getattr__(self, name: str) -> Any:
        if name in _TO_COME:
            raise NotYetAvailable(
                f"FeatureStore.{name} is not in this version", hint=f"it comes with {_TO_COME[name]}; see the changelog"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
