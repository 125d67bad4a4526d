"""The closed lists that the features are made of: genres, languages, tiers, keywords."""

from __future__ import annotations

GENRES = {
    28: "action",
    12: "adventure",
    16: "animation",
    35: "comedy",
    80: "crime",
    99: "documentary",
    18: "drama",
    10751: "family",
    14: "fantasy",
    36: "history",
    27: "horror",
    10402: "music",
    9648: "mystery",
    10749: "romance",
    878: "science_fiction",
    10770: "tv_movie",
    53: "thriller",
    10752: "war",
    37: "western",
}
"""TMDB's 19 movie genres by id. Retired ids, such as 10769 (Foreign), count as unknown."""

LANGUAGES = {
    "en": "English",
    "ko": "Korean",
    "ja": "Japanese",
    "zh": "Chinese (Mandarin)",
    "cn": "Cantonese (TMDB's own code)",
    "hi": "Hindi",
    "fr": "French",
    "es": "Spanish",
    "de": "German",
    "it": "Italian",
    "pt": "Portuguese",
    "ru": "Russian",
}
"""Languages with a flag of their own, by TMDB's code (ISO 639-1 and a few additions)."""

RATING_TIERS = {"poor": 0.0, "fair": 5.0, "good": 6.0, "very_good": 7.0, "excellent": 8.0}
"""Each rating tier and the mean rating (0-10) from which it applies."""

POPULARITY_TIERS = {"niche": 0.0, "known": 0.5, "popular": 0.8, "hit": 0.95}
"""Each popularity tier and the popularity percentile (0-1) from which it applies."""

KEYWORDS = {
    "action": (
        "assassin", "battle", "bomb", "chase", "explosion", "fight", "fighting", "gun", "guns",
        "soldier", "soldiers", "spy", "terrorist", "terrorists", "war", "weapon", "weapons",
    ),
    "horror": (
        "blood", "curse", "cursed", "demon", "demonic", "evil", "ghost", "ghosts", "haunted", "horror",
        "killer", "monster", "nightmare", "terrifying", "vampire", "vampires", "witch", "zombie", "zombies",
    ),
    "romance": (
        "affair", "bride", "dating", "heart", "kiss", "love", "lover", "lovers", "loves",
        "marriage", "marry", "passion", "romance", "romantic", "sweetheart", "wedding",
    ),
}  # fmt: skip
"""Lower-case English words that hint at a kind of story; ours, chosen by hand."""
