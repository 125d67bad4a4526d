"""Part `text`: lengths, marks and keywords of title and overview."""

from __future__ import annotations

import polars as pl

from tiffin.engineering.tmdb.feature import Feature
from tiffin.engineering.tmdb.vocabulary import KEYWORDS

_SEQUEL = (
    r"(?i-u:\b(?:part|chapter|episode|volume|vol\.?)\s+(?:[0-9]+|[ivx]+|two|three|four|five)\b"
    r"|\s(?:[2-9]|ii|iii|iv|vi|vii|viii|ix)(?:\s*:|\s+-\s|$))"
)

_RARE_SPACES = (
    "   ",
    r"[\t-\r]",
    r"[\u{85}\u{A0}\u{1680}\u{205F}\u{3000}]",
    r"[\u{2000}-\u{2008}]",
    r"[\u{2009}\u{200A}\u{2028}\u{2029}\u{202F}]",
)
"""All whitespace but one or two plain spaces; split up, because a search for few characters skips ahead fast."""


def features() -> list[Feature]:
    """List the features of this part; null if the text is missing."""
    return [*_title(), *_overview()]


def prepare(movies: pl.LazyFrame) -> pl.LazyFrame:
    """Add `overview_lower`, which several features of this part search."""
    return movies.with_columns(pl.col("overview").str.to_lowercase().alias("overview_lower"))


def count_words(text: pl.Expr) -> pl.Expr:
    r"""Count the words of long stripped text: runs of anything but whitespace.

    Parameters
    ----------
    text : Expr of String, shape (n,)
        Without surrounding whitespace; not empty.

    Returns
    -------
    Expr of UInt32, shape (n,)
        Null where `text` is null. Languages written without spaces have few, long words.

    Notes
    -----
    In nearly every text the words are one plain space apart, or two after a full stop. Counting those gaps is many
    times faster than matching `\S+`, which is left for the other texts.
    """
    is_rare = pl.any_horizontal(text.str.contains(pattern) for pattern in _RARE_SPACES)
    rare = pl.when(is_rare).then(text)
    letters = text.cast(pl.Binary).cast(pl.List(pl.UInt8))
    spaces = letters.list.eval(pl.element() == ord(" ")).list.sum()
    gaps = spaces - text.str.count_matches("  ")
    return pl.coalesce(rare.str.count_matches(r"\S+"), gaps + 1)


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
        Feature("overview_word_count", pl.Int32, "Words of the overview.", count_words(overview), "words"),
        *keywords,
    ]
