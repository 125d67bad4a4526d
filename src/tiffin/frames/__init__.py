"""The border: frames of any library in, a Polars frame inside, the same frame out again."""

from tiffin.frames.feature_frame import FeatureFrame
from tiffin.frames.ingest import Ingested, check_names, ingest
from tiffin.frames.lock import Computed, Lock, Recipe, Source

__all__ = ["Computed", "FeatureFrame", "Ingested", "Lock", "Recipe", "Source", "check_names", "ingest"]
