"""The TMDB feature processor under the guides' import path."""

from tiffin.engineering.tmdb import AdvancedTMDBPreProcessor, TMDBConfig

__all__ = ["AdvancedTMDBPreProcessor", "TMDBConfig"]
