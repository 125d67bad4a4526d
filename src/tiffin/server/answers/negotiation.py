"""What a caller accepts: formats, compression, and answers it has already."""

from __future__ import annotations

from collections.abc import Sequence

from tiffin.server.status import NotAcceptable

CODINGS = ("zstd", "gzip")


def choose_media(accept: str, offered: Sequence[str]) -> str:
    """Choose the format of an answer.

    Parameters
    ----------
    accept : str
        The header `Accept`; empty means anything.
    offered : sequence of str
        Media types, the one that is given to who accepts anything first.

    Returns
    -------
    str
        The one that is accepted most; of several, the first.

    Raises
    ------
    NotAcceptable
        None of them is accepted.
    """
    if not accept.strip():
        return offered[0]
    ranges = _weights(accept)
    qualities = {media: _quality(media, ranges) for media in offered}
    best = max(offered, key=lambda media: qualities[media])
    if not qualities[best]:
        raise NotAcceptable(
            f"the answer cannot be given as {accept[:100]!r}", hint=f"accept one of {', '.join(offered)}"
        )
    return best


def choose_coding(accept: str) -> str:
    """Choose the compression of an answer: `zstd`, `gzip`, or none as an empty text."""
    weights = _weights(accept)
    found = [coding for coding in CODINGS if weights.get(coding, weights.get("*", 0.0)) > 0]
    return max(found, key=lambda coding: weights.get(coding, 0.0), default="")


def is_known(tag: str, if_none_match: str) -> bool:
    """Tell whether the caller has the answer with this tag (`"…"`) already."""
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in known or known == ["*"]


def _weights(header: str) -> dict[str, float]:
    weights = {}
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            weights[name] = min(max(float(quality), 0.0), 1.0)
        except ValueError:
            weights[name] = 0.0
    return weights


def _quality(media: str, ranges: dict[str, float]) -> float:
    kind = media.partition("/")[0]
    return next((ranges[one] for one in (media, f"{kind}/*", "*/*") if one in ranges), 0.0)
