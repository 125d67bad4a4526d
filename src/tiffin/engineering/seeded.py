"""Random numbers that are a function of (seed, stream, index), the same on every platform and for ever.

A generator with a state would tie a draw to all draws before it, and a library's generator to the
library's version. Here draw number `index` is a hash of its own position: columns can be drawn in any
order, in parallel, and only whole-number arithmetic and one division are involved.
"""

from __future__ import annotations

import math

import polars as pl

_GAMMA = 0x9E3779B97F4A7C15
_WORD = 2**64


def uniform(index: pl.Expr, *, seed: int, stream: str) -> pl.Expr:
    """Draw one number of [0, 1) for each index.

    Parameters
    ----------
    index : Expr of integers >= 0, shape (n,)
        Which draw; equal indices get equal numbers.
    seed : int
        Chooses the whole family of draws.
    stream : str
        What the numbers are for; streams of one seed are independent of each other.

    Returns
    -------
    Expr of Float64, shape (n,)

    Notes
    -----
    Source: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014);
    its upper 53 bits become the fraction.
    """
    state = (index.cast(pl.UInt64) + _word(1)) * _word(_GAMMA) + _word(_origin(seed, stream))
    state = (state ^ (state // _word(2**30))) * _word(0xBF58476D1CE4E5B9)
    state = (state ^ (state // _word(2**27))) * _word(0x94D049BB133111EB)
    state = state ^ (state // _word(2**31))
    return (state // _word(2**11)).cast(pl.Float64) / 2**53


def bell(index: pl.Expr, *, seed: int, stream: str) -> pl.Expr:
    """Draw one number with mean 0 and standard deviation 1 for each index.

    Returns
    -------
    Expr of Float64, shape (n,)
        Within [-3.5, 3.5].

    Notes
    -----
    Source: the Irwin-Hall distribution, a sum of four uniform numbers (variance 4/12) brought to variance 1.
    It needs no logarithm or cosine, whose last digit differs between platforms.
    """
    total = pl.sum_horizontal(uniform(index, seed=seed, stream=f"{stream}/{part}") for part in range(4))
    return (total - 2.0) * math.sqrt(3.0)


def pick(index: pl.Expr, weights: pl.Series, *, seed: int, stream: str) -> pl.Expr:
    """Draw a position for each index, with probabilities proportional to the weights.

    Parameters
    ----------
    index : Expr of integers >= 0, shape (n,)
        Which draw.
    weights : Series of Float64, shape (m,), m >= 1
        Weights >= 0, not all zero.
    seed, stream
        As in `uniform`.

    Returns
    -------
    Expr of Int64, shape (n,)
        Positions of [0, m).
    """
    steps = weights.cum_sum()
    point = uniform(index, seed=seed, stream=stream) * steps[-1]
    place = pl.lit(steps).search_sorted(point, side="right").cast(pl.Int64)
    return pl.min_horizontal(place, len(weights) - 1)


def _word(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def _origin(seed: int, stream: str) -> int:
    """Fold seed and stream into 64 bits (FNV-1a over their UTF-8 text)."""
    value = 0xCBF29CE484222325
    for byte in f"{seed}:{stream}".encode():
        value = (value ^ byte) * 0x100000001B3 % _WORD
    return value
