"""Folding many slices of an array at once (pure).

A slice is put together from blocks of 1, 2, 4, … elements, of which there are at most two of each size: the work for a
slice grows with the logarithm of its length. Nothing is ever subtracted, so a huge value, a NaN or an infinity is felt
by the slices that hold it and by no other. Blocks are counted from the first element of each run, so what comes out for
a slice depends on its run alone, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Parts = tuple[npt.NDArray[Any], ...]
"""What is folded: one array, or several that belong together."""

Combine = Callable[[Parts, Parts], Parts]
"""Joins two neighbours, element by element."""


class Slices:
    """Slices of an array whose elements come in runs; none reaches over the end of a run.

    Parameters
    ----------
    starts : array, shape (r + 1,)
        Where each run begins, and where the last one ends.
    low, high : array, shape (q,)
        Where each slice begins and ends; one that is empty folds to the neutral value.
    """

    def __init__(self, starts: Ints, low: Ints, high: Ints) -> None:
        self._chosen = np.flatnonzero(low < high)
        self._count = len(low)
        lengths = np.diff(starts)
        sizes = np.left_shift(1, np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))
        # The longest first: so each run begins at a multiple of its size, and its blocks are aligned.
        order = np.argsort(-sizes, kind="stable")
        begins = np.empty_like(sizes)
        begins[order] = np.cumsum(sizes[order]) - sizes[order]
        self._size = int(sizes.sum())
        self._places = np.arange(starts[-1]) + np.repeat(begins - starts[:-1], lengths)
        self._low = self._places[low[self._chosen]]
        self._high = self._places[high[self._chosen] - 1] + 1

    def fold(self, elements: Parts, neutral: Sequence[float], combine: Combine) -> Parts:
        """Fold each slice.

        Parameters
        ----------
        elements : tuple of array, shape (n,)
            What the slices are of.
        neutral : sequence of number
            What changes nothing when it is combined, for each of the arrays.
        combine : callable
            Associative.

        Returns
        -------
        tuple of array, shape (q,)
        """
        blocks = tuple(np.full(self._size, value, part.dtype) for part, value in zip(elements, neutral, strict=True))
        for block, part in zip(blocks, elements, strict=True):
            block[self._places] = part
        folded = tuple(np.full(self._count, value, part.dtype) for part, value in zip(elements, neutral, strict=True))
        rows, low, high = self._chosen, self._low.copy(), self._high.copy()
        while len(rows):
            odd = np.flatnonzero(low & 1)
            _add(folded, rows[odd], blocks, low[odd], combine)
            low[odd] += 1
            odd = np.flatnonzero(high & 1)
            high[odd] -= 1
            _add(folded, rows[odd], blocks, high[odd], combine)
            left = np.flatnonzero(low < high)
            rows, low, high = rows[left], low[left] >> 1, high[left] >> 1
            even = len(blocks[0]) // 2 * 2
            blocks = combine(tuple(b[0:even:2] for b in blocks), tuple(b[1:even:2] for b in blocks))
        return folded


def _add(folded: Parts, rows: Ints, blocks: Parts, places: Ints, combine: Combine) -> None:
    both = combine(tuple(part[rows] for part in folded), tuple(block[places] for block in blocks))
    for part, value in zip(folded, both, strict=True):
        part[rows] = value


def add(left: Parts, right: Parts) -> Parts:
    """Combine sums."""
    return (np.add(left[0], right[0]),)


def lesser(left: Parts, right: Parts) -> Parts:
    """Combine minima."""
    return (np.minimum(left[0], right[0]),)


def greater(left: Parts, right: Parts) -> Parts:
    """Combine maxima."""
    return (np.maximum(left[0], right[0]),)


def moments(left: Parts, right: Parts) -> Parts:
    """Combine counts, means and sums of squared deviations from the mean.

    Source: Chan, Golub, LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances* (1979).
    """
    (n, mean, squares), (m, other, more) = left, right
    total = n + m
    share = np.divide(m, total, out=np.zeros_like(total), where=total > 0)
    apart = other - mean
    # A side without values has a mean that means nothing.
    apart = np.where((n > 0) & (m > 0), apart, 0.0)
    middle = np.where(n > 0, mean + apart * share, other)
    return total, middle, squares + more + apart * apart * n * share
