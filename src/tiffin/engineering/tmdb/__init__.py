"""Features of TMDB movies: `TMDBProcessor` gives Polars frames, `AdvancedTMDBPreProcessor` pandas frames.

::

    sources      any list or frame → a raw frame of the fields we know
    reading      a raw column → numbers, texts, flags, days, genre lists
    intake       → one clean frame, one row per movie
    batch        figures of all movies that single movies are compared with
    basic, temporal, statistical, text, interaction, augmented
                 one module per part: its features, each declared once with type, meaning and formula
    quality      the part `metadata`
    processor    puts them together
"""

from tiffin.engineering.tmdb.config import TMDBConfig
from tiffin.engineering.tmdb.feature import Feature
from tiffin.engineering.tmdb.processor import (
    FRAME_PARTS,
    MOVIE_PARTS,
    PARTS,
    AdvancedTMDBPreProcessor,
    Progress,
    TMDBProcessor,
)

__all__ = [
    "FRAME_PARTS",
    "MOVIE_PARTS",
    "PARTS",
    "AdvancedTMDBPreProcessor",
    "Feature",
    "Progress",
    "TMDBConfig",
    "TMDBProcessor",
]
