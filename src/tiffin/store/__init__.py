"""The face of Tiffin: `FeatureStore` wires the layers below together and decides nothing itself.

Its methods are kept by verb: `save`, `declare`, `evolve`, `constrain`, `versions`, `read`, `keep`, `services`, `train`,
`serve`, `quality`, `profiles`, `derive`, `lineage` and `listen`, over what `opened` wires.
"""

from tiffin.reading import Stats
from tiffin.store.compute import Computing
from tiffin.store.constrain import Constraining
from tiffin.store.declare import Declaring
from tiffin.store.derive import Deriving
from tiffin.store.evolve import Evolving
from tiffin.store.keep import Keeping
from tiffin.store.lineage import Tracing
from tiffin.store.listen import Listening
from tiffin.store.profiles import Profiling
from tiffin.store.quality import Quality
from tiffin.store.read import Reading
from tiffin.store.serve import Serving
from tiffin.store.services import Services
from tiffin.store.train import Training
from tiffin.store.versions import Versioning

__all__ = ["FeatureStore", "Stats"]


class FeatureStore(
    Profiling,
    Computing,
    Deriving,
    Serving,
    Declaring,
    Evolving,
    Constraining,
    Versioning,
    Reading,
    Keeping,
    Services,
    Training,
    Quality,
    Tracing,
    Listening,
):
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
