"""The TMDB feature processor: movies in, one frame of features per part out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tiffin.engineering.tmdb import augmented, basic, interaction, quality, statistical, temporal, text
from tiffin.engineering.tmdb.as_pandas import to_pandas
from tiffin.engineering.tmdb.batch import measure
from tiffin.engineering.tmdb.config import TMDBConfig
from tiffin.engineering.tmdb.feature import Feature, select
from tiffin.engineering.tmdb.intake import read_movies
from tiffin.errors import InvalidInputError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

MOVIE_PARTS = ("basic", "temporal", "statistical", "text", "interaction")
"""Parts with one row per movie."""

FRAME_PARTS = (*MOVIE_PARTS, "augmented")
"""Parts that are frames."""

PARTS = (*FRAME_PARTS, "metadata")
"""All parts."""

Progress = Callable[[str, int, int], None]
"""Called as `progress(part, done, total)` after each part: its name, parts done, parts to do."""


class TMDBProcessor:
    """Compute features of TMDB movies as Polars frames.

    Parameters
    ----------
    movies : list of dict, or a pandas, Polars or Arrow frame, or anything with `__arrow_c_stream__`
        In either of TMDB's shapes; see `intake.read_movies` for the fields.
    config : TMDBConfig or mapping, optional
        Settings; those left out have defaults.

    Attributes
    ----------
    config : TMDBConfig
        The settings in use, with `now` filled in: pass it again and get the same features.
    movies : DataFrame
        The movies as they were understood.
    ignored : list of str
        Fields of the input that no feature is made of, such as misspelt ones.

    Raises
    ------
    InvalidInputError
        The movies cannot be read, a `movie_id` is missing or not unique, or a setting is unknown or out of range.

    Examples
    --------
    >>> processor = TMDBProcessor([{"movie_id": 7, "title": "Night Train 2"}])
    >>> processor.extract(["text"])["text"]["title_has_sequel_mark"].to_list()
    [True]
    """

    def __init__(self, movies: Any, config: TMDBConfig | Mapping[str, Any] | None = None) -> None:
        self.config = TMDBConfig.of(config)
        self.movies, self.ignored = read_movies(movies)
        self._batch = measure(self.movies, self.config)
        self._features = {
            "basic": basic.features(),
            "temporal": temporal.features(self.config),
            "statistical": statistical.features(self._batch),
            "text": text.features(),
            "interaction": interaction.features(),
            "augmented": augmented.features(self.config),
        }

    def features(self, part: str) -> list[Feature]:
        """List the features of a part: name, type, description, formula.

        Raises
        ------
        InvalidInputError
            There is no such part, or it is not a frame.
        """
        _require_known([part], FRAME_PARTS)
        return list(self._features[part])

    def extract(
        self, parts: Iterable[str] = FRAME_PARTS, *, progress: Progress | None = None
    ) -> dict[str, pl.DataFrame]:
        """Compute parts.

        Parameters
        ----------
        parts : iterable of str
            Some of `FRAME_PARTS`.
        progress : callable, optional
            Called as `progress(part, done, total)` after each part.

        Returns
        -------
        dict of str to DataFrame
            In the order asked for. Each has `movie_id` first and rows in the order of the input, one per movie;
            `augmented` has one row per synthetic interaction.

        Raises
        ------
        InvalidInputError
            There is no such part, or it is not a frame.
        """
        wanted = _require_known(parts, FRAME_PARTS)
        frames = {}
        for done, part in enumerate(wanted, start=1):
            frames[part] = select(self._rows(part), self._features[part]).collect()
            if progress:
                progress(part, done, len(wanted))
        return frames

    def _rows(self, part: str) -> pl.LazyFrame:
        """Give the frame that the expressions of a part are written over."""
        movies = self.movies.lazy()
        match part:
            case "statistical":
                return statistical.prepare(movies)
            case "text":
                return text.prepare(movies)
            case "interaction":
                return interaction.prepare(movies, self._batch)
            case "augmented":
                return augmented.draw(self.movies, self._batch, self.config).lazy()
            case _:
                return movies

    def describe(self, frames: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, Any]]:
        """Describe the features of extracted parts and the quality of their values.

        Parameters
        ----------
        frames : mapping of str to DataFrame
            What `extract` returned.

        Returns
        -------
        dict of str to dict
            Per feature what `quality.describe` gives. Feature names are unique over all parts.
        """
        described: dict[str, dict[str, Any]] = {}
        for part, frame in frames.items():
            described.update(quality.describe(part, frame, self.features(part)))
        return described


class AdvancedTMDBPreProcessor(TMDBProcessor):
    """The processor under the guides' name: the same features, as pandas frames."""

    def extract_all_features(self, parts: Iterable[str] = PARTS, *, progress: Progress | None = None) -> dict[str, Any]:
        """Compute all parts, or some.

        Parameters
        ----------
        parts : iterable of str
            Some of `PARTS`.
        progress : callable, optional
            Called as `progress(part, done, total)` after each part.

        Returns
        -------
        dict of str to pandas.DataFrame, and `metadata` to dict
            Types as in `as_pandas.to_pandas`. `metadata` describes the other parts asked for, or all if it is alone.

        Raises
        ------
        InvalidInputError
            There is no such part.
        MissingDependency
            pandas is not installed.
        """
        wanted = _require_known(parts, PARTS)
        frame_parts = [part for part in wanted if part != "metadata"] or list(FRAME_PARTS)
        frames = self.extract(frame_parts, progress=progress)
        answers: dict[str, Any] = {part: to_pandas(frames[part]) for part in wanted if part in frames}
        if "metadata" in wanted:
            answers["metadata"] = self.describe(frames)
        return answers


def _require_known(parts: Iterable[str], known: tuple[str, ...]) -> list[str]:
    """Check part names; each once, in the order asked for."""
    wanted = [parts] if isinstance(parts, str) else list(dict.fromkeys(parts))
    for part in wanted:
        if part not in known:
            raise InvalidInputError(f"There is no part {part!r} here", hint=did_you_mean(str(part), known), part=part)
    return wanted
