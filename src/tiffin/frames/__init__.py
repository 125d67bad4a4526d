"""The border: frames of any library in, a Polars frame inside, the same frame out again."""

from tiffin.frames.feature_frame import FeatureFrame
from tiffin.frames.ingest import Ingested, ingest

__all__ = ["FeatureFrame", "Ingested", "ingest"]
