"""Filling the online index: from a table's versions to the newest row of each entity."""

from tiffin.materialize.filling import Progress
from tiffin.materialize.materializer import Lag, Materialized, Materializer

__all__ = ["Lag", "Materialized", "Materializer", "Progress"]
