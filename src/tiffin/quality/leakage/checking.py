"""Whether the features of a training frame know what is not yet known at the label's time.

For each table the features are looked up as of the label's time, as for a training frame. The times of the rows that
were found are held against the label's; then each feature is asked how well it alone tells the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.features import Wanted
from tiffin.quality.leakage.lookup import Labelled, Lookup, look_up
from tiffin.quality.leakage.report import LeakageFinding, LeakageReport
from tiffin.quality.leakage.statistics import Statistic, is_group, label_of, tell
from tiffin.quality.leakage.times import check_times

_FOLDS = 5
_NAMES: dict[Statistic, str] = {
    "auc": "area under the ROC curve",
    "correlation": "rank correlation",
    "errors_avoided": "share of the errors avoided",
}


@dataclass(frozen=True)
class Limits:
    """From where on something is suspicious."""

    same_time: float = 0.95
    """Share of the rows whose features have exactly the label's time."""
    auc: float = 0.98
    """Area under the ROC curve by which a feature tells a label of two values."""
    correlation: float = 0.98
    """Rank correlation with a label that is a number."""
    errors_avoided: float = 0.95
    """Share of the errors of always naming the commonest of several classes that a feature avoids."""
    sample: int = 100_000
    """Rows that the statistics look at, at most."""
    seed: int = 0
    """Chooses those rows."""

    def check(self) -> None:
        """Check that every limit can be one.

        Raises
        ------
        InvalidInputError
            Naming it.
        """
        for name in ("same_time", "auc", "correlation", "errors_avoided"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InvalidInputError(f"{name} is {value!r}", hint="give a number from 0 to 1")
        for name, least in (("sample", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 63:
                raise InvalidInputError(
                    f"{name} is {value!r}", hint=f"give a whole number of at least {least}, and less than 2**63"
                )


def check_leakage(labelled: Labelled, wanted: Sequence[Wanted], limits: Limits) -> LeakageReport:
    """Look for leaks.

    Parameters
    ----------
    labelled : Labelled
        The labelled rows.
    wanted : sequence of Wanted
        The features.
    limits : Limits
        From where on something is suspicious.

    Returns
    -------
    LeakageReport

    Raises
    ------
    InvalidInputError
        The label is no column of the spine, or cannot be a label.
    """
    limits.check()
    values = _label(labelled)
    findings: list[LeakageFinding] = []
    for one in wanted:
        lookup = look_up(labelled, one)
        if labelled.time is not None:
            findings += check_times(lookup, limits.same_time, limits.seed)
        findings += _tells(lookup, values, limits)
    return LeakageReport(
        label=labelled.label,
        rows=labelled.spine.frame.height,
        features=tuple(f"{one.table.name}:{feature}" for one in wanted for feature in one.features),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity == "note")),
        unchecked=tuple(_unchecked(labelled, values)),
    )


def _label(labelled: Labelled) -> pl.Series:
    """Return the label, with NaN as null."""
    frame, name = labelled.spine.frame, labelled.label
    if name not in frame.columns:
        raise InvalidInputError(
            f"the spine has no column {name!r} for the label", hint=did_you_mean(str(name), frame.columns)
        )
    values = frame[name]
    values = values.fill_nan(None) if values.dtype.is_float() else values
    if values.null_count() < len(values) and label_of(values.drop_nulls()) is None:
        raise InvalidInputError(
            f"label {name!r} is {values.dtype}", hint="a label is a number, a boolean, a time, or one of several texts"
        )
    return values


def _unchecked(labelled: Labelled, values: pl.Series) -> Iterator[str]:
    if labelled.time is None:
        yield "times, because the spine has no column of times, or several: say which (timestamp=…, --timestamp)"
    if values.drop_nulls().n_unique() < 2:
        yield f"how well features tell the label, because label {labelled.label!r} has not two different values"


def _tells(lookup: Lookup, values: pl.Series, limits: Limits) -> Iterator[LeakageFinding]:
    """Ask how well each feature alone, or its absence, tells the label."""
    places = values.is_not_null().arg_true()
    places = places.sample(min(len(places), limits.sample), seed=limits.seed)
    label = label_of(values[places]) if len(places) else None
    if label is None:
        return
    folds = _folds(lookup, places, limits.seed)
    for name in lookup.features.columns:
        feature = lookup.features[name][places]
        missing = feature.is_null()
        told = tell(feature, label, folds)
        how = "alone tells the label"
        if not (told and told.value >= getattr(limits, told.statistic)) and not is_group(feature.dtype):
            told, how = tell(missing, label, folds), "tells the label by where it is missing"
        if told is None or told.value < getattr(limits, told.statistic):
            continue
        yield lookup.finding(
            "tells_label",
            "warning",
            lookup.mask(places),
            what=f"{how}: {_NAMES[told.statistic]} {told.value:.3f} in {told.rows:,} rows",
            advice="look how it is made: is it known at the label's time, or a consequence of what the label says?",
            shown={name: lookup.features[name]},
            features=(name,),
            statistic=told.value,
        )


def _folds(lookup: Lookup, places: pl.Series, seed: int) -> pl.Series:
    """Split the rows, all of an entity into one fold: or a name of each entity would tell what it has of its own."""
    keys = lookup.labelled.spine.frame[places].select(lookup.one.state.spec.entity)
    if not keys.width or keys.n_unique() < 10 * _FOLDS:
        keys = pl.DataFrame({"row": places})
    return keys.hash_rows(seed) % _FOLDS
