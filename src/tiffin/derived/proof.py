"""Whether on-demand features come out the same offline and online, and of each row whatever the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import polars as pl

from tiffin.derived.on_demand import OnDemand

_EXAMPLES = 5


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A value that comes out in two ways."""

    how: str
    """Which two ways these are."""
    feature: str
    row: dict[str, object]
    """What it was computed from."""
    expected: object
    found: object


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and what differs; prints as text."""

    name: str
    rows: int
    disagreements: tuple[Disagreement, ...] = ()
    """A few of each kind."""

    @property
    def ok(self) -> bool:
        """Whether all agree."""
        return not self.disagreements

    def __str__(self) -> str:
        if self.ok:
            return f"{self.name}: the same offline, online, alone and in any order, on {self.rows} rows"
        lines = [
            f"  {one.feature} of {one.row}: {one.expected!r}, and {one.found!r} {one.how}" for one in self.disagreements
        ]
        return "\n".join([f"{self.name} differs:", *lines])


def compare(how: str, given: pl.DataFrame, expected: pl.DataFrame, found: pl.DataFrame) -> Iterator[Disagreement]:
    """List values that differ: null equals null, NaN equals NaN.

    Parameters
    ----------
    how : str
        In which way `found` came out.
    given : DataFrame, shape (n, k)
        What they were computed from.
    expected, found : DataFrame, shape (n, outputs)
        The values.
    """
    for name in expected.columns:
        rows = expected[name].ne_missing(found[name]).arg_true().head(_EXAMPLES)
        for row in rows:
            yield Disagreement(
                how=how,
                feature=name,
                row=given.row(row, named=True),
                expected=expected[name][row],
                found=found[name][row],
            )


def alone_and_together(features: OnDemand, given: pl.DataFrame) -> Iterator[Disagreement]:
    """Compute features row by row, backwards, and with each column null: a row must not hang on the others.

    Parameters
    ----------
    features : OnDemand
        The features.
    given : DataFrame, shape (n, inputs + request columns)
        What they are computed from.
    """
    yield from _alone("alone", features.compute, given)
    backwards = features.compute(given.reverse()).reverse()
    yield from compare("in another order", given, features.compute(given), backwards)
    for name in given.columns:
        yield from _alone(
            f"alone, with {name} null",
            features.compute,
            given.with_columns(pl.lit(None, given.schema[name]).alias(name)),
        )


def _alone(how: str, compute: Callable[[pl.DataFrame], pl.DataFrame], given: pl.DataFrame) -> Iterator[Disagreement]:
    if given.height:
        each = pl.concat([compute(given.slice(row, 1)) for row in range(given.height)])
        yield from compare(how, given, compute(given), each)
