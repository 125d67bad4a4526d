"""How far two samples of a column are apart, and how far chance alone would put them (pure).

Each distance comes with what chance reaches in one case of a thousand where both samples are of the same distribution:
twenty rows differ from twenty others by more than a million do from a million, and no fixed limit fits both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

_Z = 3.0902
"""Beyond so many standard deviations lies a thousandth of a normal distribution, on one side."""
_RARE = 0.001


def psi(baseline: Sequence[int], current: Sequence[int]) -> float:
    """Return the population stability index of counts in the same cells.

    Parameters
    ----------
    baseline, current : sequence of int, shape (cells,)
        How many rows of each side lie in each cell.

    Returns
    -------
    float
        0 if the shares are the same; a normal distribution that moves by d standard deviations gives about d².

    Notes
    -----
    Sum over the cells of (q - p) ln(q / p), where p and q are the shares: N. Siddiqi, Credit Risk Scorecards (2006),
    chapter 10; it is the symmetric divergence of S. Kullback and R. A. Leibler (1951). Half a row is added to each
    cell (Haldane's correction), so that an empty one does not make it infinite. Cells empty on both sides do not count.
    """
    pairs = [(one, other) for one, other in zip(baseline, current, strict=True) if one or other]
    sizes = [sum(counts) + len(pairs) / 2 for counts in (baseline, current)]
    shares = [((one + 0.5) / sizes[0], (other + 0.5) / sizes[1]) for one, other in pairs]
    return math.fsum((q - p) * math.log(q / p) for p, q in shares)


def jensen_shannon(baseline: Sequence[int], current: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of counts in the same cells.

    Parameters
    ----------
    baseline, current : sequence of int, shape (cells,)
        How many rows of each side lie in each cell; each side has at least one.

    Returns
    -------
    float
        From 0, the same shares, to 1, no cell in common.

    Notes
    -----
    The root of the Jensen-Shannon divergence in bits: J. Lin (1991); that the root is a metric: D. M. Endres and
    J. E. Schindelin (2003).
    """
    sizes = sum(baseline), sum(current)
    divergence = 0.0
    for one, other in zip(baseline, current, strict=True):
        p, q = one / sizes[0], other / sizes[1]
        middle = (p + q) / 2
        divergence += sum(share * math.log2(share / middle) / 2 for share in (p, q) if share)
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def kolmogorov_smirnov(baseline: pl.Series, current: pl.Series) -> float:
    """Return the greatest distance of two empirical distribution functions.

    Parameters
    ----------
    baseline, current : Series of Float64
        Ascending, without nulls and NaN; each has at least one value.

    Returns
    -------
    float
        From 0 to 1.

    Notes
    -----
    N. V. Smirnov (1939): max over x of |F(x) - G(x)|, at every value of either side.
    """
    values = pl.concat([baseline, current]).rename("")
    shares = [side.search_sorted(values, side="right") / len(side) for side in (baseline, current)]
    return float((shares[0] - shares[1]).abs().max())  # type: ignore[arg-type] # of floats


def chance_of_psi(cells: int, rows: tuple[int, int]) -> float:
    """Return the index that chance exceeds in one case of a thousand.

    Notes
    -----
    It is distributed as (1/n + 1/m) times chi-squared with cells - 1 degrees of freedom: B. Yurdakul and
    J. Naranjo, Statistical properties of the population stability index (2020).
    """
    return _chi_squared(cells - 1) * _per_row(rows)


def chance_of_jensen_shannon(cells: int, rows: tuple[int, int]) -> float:
    """Return the distance that chance exceeds in one case of a thousand.

    Notes
    -----
    Near equality the divergence is the index of `psi`, divided by 8 ln 2 (both expanded to second order).
    """
    return min(math.sqrt(chance_of_psi(cells, rows) / (8 * math.log(2))), 1.0)


def chance_of_kolmogorov_smirnov(rows: tuple[int, int]) -> float:
    """Return the distance that chance exceeds in one case of a thousand, by Smirnov's limit (1939)."""
    return min(math.sqrt(-math.log(_RARE / 2) / 2 * _per_row(rows)), 1.0)


def chance_of_share(share: float, rows: tuple[int, int]) -> float:
    """Return by how much two samples' shares differ by chance in one case of a thousand, given the share of both."""
    return _Z * math.sqrt(share * (1 - share) * _per_row(rows))


def chance_of_unseen(singles: int, seen: int, rows: int) -> float:
    """Return which share of rows holds by chance a value that other rows did not.

    Parameters
    ----------
    singles : int
        Values that stand in one of the other rows only.
    seen : int
        The other rows.
    rows : int
        Rows in which values are new.

    Notes
    -----
    I. J. Good (1953): the share that is yet to be seen is singles / seen; to it is added how far chance goes beyond, in
    one case of a thousand (E. B. Wilson's upper limit of a share, 1927).
    """
    share, spread = singles / seen, _per_row((seen, rows))
    return min(share + _Z**2 * spread / 2 + _Z * math.sqrt(share * (1 - share) * spread), 1.0)


def _per_row(rows: tuple[int, int]) -> float:
    return 1 / rows[0] + 1 / rows[1]


def _chi_squared(freedom: int) -> float:
    """Return what chi-squared exceeds in one case of a thousand (E. B. Wilson and M. M. Hilferty, 1931)."""
    if freedom < 1:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _Z * math.sqrt(part)) ** 3
