"""Part `text`: lengths, marks and keywords of title and overview."""

from __future__ import annotations

import polars as pl

from tiffin.engineering.tmdb.feature import Feature
from tiffin.engineering.tmdb.vocabulary import KEYWORDS

_SEQUEL = (
    r"(?i-u:\b(?:part|chapter|episode|volume|vol\.?)\s+(?:[0-9]+|[ivx]+|two|three|four|five)\b"
    r"|\s(?:[2-9]|ii|iii|iv|vi|vii|viii|ix)(?:\s*:|\s+-\s|$))"
)

_WIDE_SPACES = [*"\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))]
"""Unicode's whitespace beyond ASCII."""


def features() -> list[Feature]:
    """List the features of this part, over the columns that `prepare` gives; null if the text is missing."""
    return [*_title(), *_overview()]


def prepare(movies: pl.DataFrame) -> pl.DataFrame:
    """Add what several features of this part need: `overview_lower`, and `overview_is_plain` (see `count_words`).

    Computed once here; Polars would compute a shared part of several expressions before them, on one core.
    """
    overview = pl.col("overview")
    return (
        movies.lazy()
        .with_columns(
            overview.str.to_lowercase().alias("overview_lower"),
            _is_plain(overview).alias("overview_is_plain"),
        )
        .collect()
    )


def count_words(text: pl.Expr, is_plain: pl.Expr) -> pl.Expr:
    r"""Count the words of long stripped text: runs of anything but whitespace.

    Parameters
    ----------
    text : Expr of String, shape (n,)
        Without surrounding whitespace; not empty.
    is_plain : Expr of Boolean, shape (n,)
        All words of the text are one plain space apart.

    Returns
    -------
    Expr of UInt32, shape (n,)
        Null where `text` is null. Languages written without spaces have few, long words.

    Notes
    -----
    Nearly every text is plain, and counting spaces is three times faster than matching `\S+`. The other texts are
    masked out of the fast count and counted in full.
    """
    spaces = pl.when(is_plain).then(text).str.count_matches(" ")
    words = pl.when(~is_plain).then(text).str.count_matches(r"\S+")
    return pl.coalesce(spaces + 1, words)


def _is_plain(text: pl.Expr) -> pl.Expr:
    is_ascii = text.str.len_bytes() == text.str.len_chars()
    return (
        ~text.str.contains("  ", literal=True)
        & ~text.str.contains(r"[\t\n\r]")
        & ~text.str.contains(r"[\v\f]")
        & ~pl.when(~is_ascii).then(text).str.contains_any(_WIDE_SPACES).fill_null(value=False)
    )


def count_keywords(text: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    """Count occurrences of any of some lower-case ASCII words, as whole words.

    Parameters
    ----------
    text : Expr of String, shape (n,)
        In lower case.
    words : tuple of str

    Returns
    -------
    Expr of UInt32, shape (n,)
    """
    return text.str.count_matches(rf"(?-u:\b(?:{'|'.join(words)})\b)")


def _title() -> list[Feature]:
    title, original = pl.col("title"), pl.col("original_title")
    return [
        Feature("title_length", pl.Int32, "Characters of the title.", title.str.len_chars(), "characters"),
        Feature("title_word_count", pl.Int32, "Words of the title.", title.str.count_matches(r"\S+"), "words"),
        Feature("title_has_colon", pl.Boolean, "The title has a colon.", title.str.contains(":", literal=True)),
        Feature("title_has_number", pl.Boolean, "The title has a digit (0-9).", title.str.contains("[0-9]")),
        Feature(
            "title_has_sequel_mark",
            pl.Boolean,
            "The title looks like a sequel's: a number 2-9 or II-IX (but not V) at its end or before a colon or dash, "
            "or a part, chapter, episode or volume with a number. A hint, not knowledge.",
            title.str.contains(_SEQUEL),
        ),
        Feature(
            "title_is_translated",
            pl.Boolean,
            "The title differs from the original title; null if either is missing.",
            title != original,
        ),
    ]


def _overview() -> list[Feature]:
    overview = pl.col("overview")
    keywords = [
        Feature(
            f"{kind}_keyword_count",
            pl.Int32,
            f"Whole words of the overview, in any case, that hint at {kind}: {', '.join(words)}.",
            count_keywords(pl.col("overview_lower"), words),
            "words",
        )
        for kind, words in KEYWORDS.items()
    ]
    return [
        Feature("overview_length", pl.Int32, "Characters of the overview.", overview.str.len_chars(), "characters"),
        Feature(
            "overview_word_count",
            pl.Int32,
            "Words of the overview.",
            count_words(overview, pl.col("overview_is_plain")),
            "words",
        ),
        *keywords,
    ]
