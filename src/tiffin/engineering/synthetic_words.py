"""The words, genres and languages that synthetic movies are made of."""

from __future__ import annotations

STORIES: dict[int, tuple[float, tuple[str, ...]]] = {
    18: (
        0.24,
        (
            "must choose between family and truth",
            "learns to forgive a father",
            "returns to a town of silence",
        ),
    ),
    35: (
        0.18,
        (
            "accidentally becomes mayor",
            "fakes a career as a chef",
            "is mistaken for a famous magician",
        ),
    ),
    28: (
        0.14,
        (
            "has one night to stop a bomb",
            "must fight through a city at war",
            "chases stolen weapons",
        ),
    ),
    53: (
        0.09,
        (
            "finds a message that should not exist",
            "wakes up without a name",
            "is followed by a patient stranger",
        ),
    ),
    27: (
        0.08,
        (
            "hears a ghost in the cellar",
            "breaks an old curse at midnight",
            "is hunted by a demon with a smile",
        ),
    ),
    10749: (
        0.07,
        (
            "falls in love with a rival",
            "writes letters to a lost lover",
            "stops a wedding by mistake",
        ),
    ),
    12: (
        0.06,
        (
            "sails after a map nobody believes",
            "crosses the ice to find a brother",
            "digs up a sleeping kingdom",
        ),
    ),
    878: (
        0.05,
        (
            "repairs a machine that dreams",
            "receives a signal from tomorrow",
            "is the last human on a ferry to Mars",
        ),
    ),
    80: (
        0.04,
        (
            "plans a robbery without a getaway",
            "keeps the books of a dangerous man",
            "hides a witness in plain sight",
        ),
    ),
    16: (
        0.02,
        (
            "befriends a cloud that cannot rain",
            "teaches a robot to whistle",
            "becomes a very small knight",
        ),
    ),
    99: (
        0.02,
        (
            "follows a river from spring to sea",
            "films the last lighthouse keepers",
            "counts what a city throws away",
        ),
    ),
    37: (
        0.01,
        (
            "rides home with a stolen horse",
            "guards a well in a dry year",
            "owes one bullet to an old friend",
        ),
    ),
}
"""Genre id → how common it is as a movie's first genre, and what its stories are about."""

SECOND_GENRES = (18, 35, 28, 53, 12, 14, 10751, 9648, 36, 10402, 10752, 878, 10770, 10769)
LANGUAGES = {
    "en": 0.78,
    "fr": 0.05,
    "ko": 0.04,
    "ja": 0.04,
    "es": 0.03,
    "de": 0.02,
    "hi": 0.02,
    "it": 0.01,
    "sv": 0.01,
}

ADJECTIVES = ("Silent", "Crimson", "Broken", "Distant", "Hollow", "Golden", "Restless", "Hidden", "Northern", "Paper")
NOUNS = ("Harbor", "Winter", "Orchard", "Signal", "Empire", "Mirror", "Garden", "Station", "River", "Promise", "Tiger")
ENDINGS = ("", "", "", "", "", "", "", " 2", " III", ": The Return", " of 1968", ": Part II")
HEROES = (
    "A retired pilot",
    "A young violinist",
    "An honest thief",
    "A village doctor",
    "A tired detective",
    "A stubborn goalkeeper",
    "A night-shift nurse",
    "The youngest of five brothers",
    "A translator of dead languages",
    "A former champion",
)
PLACES = (
    "in a city that never sleeps",
    "on a remote island",
    "behind the old railway station",
    "during the longest winter",
    "at the edge of the desert",
    "in a hotel without guests",
    "beneath the opera house",
    "far from the capital",
)
TURNS = (
    "Nothing goes as planned, and nobody is quite who they say they are.",
    "With time running out, an unlikely friendship is put to the test.",
    "But the past has a long memory – and it knows the way home.",
    "What begins as a favour soon becomes a matter of life and death.",
    "Together they discover that the smallest lie casts the longest shadow, and that the way back is closed.",
    "",
)
