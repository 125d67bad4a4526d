"""Filling the online index: from a table's versions to the newest row of each entity."""

from tiffin.materialize.filling import Progress
from tiffin.materialize.materializer import Materialized, Materializer

__all__ = ["Materialized", "Materializer", "Progress"]
