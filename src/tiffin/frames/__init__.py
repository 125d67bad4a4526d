"""The border: frames of any library in, a Polars frame inside, the same frame out again."""

from tiffin.frames.feature_frame import FeatureFrame
from tiffin.frames.ingest import Ingested, ingest
from tiffin.frames.lock import Lock, Recipe, Source

__all__ = ["FeatureFrame", "Ingested", "Lock", "Recipe", "Source", "ingest"]
