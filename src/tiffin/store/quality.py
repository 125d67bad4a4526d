"""The verbs that look at data before a model is trained on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tiffin import frames
from tiffin.features import Features, references, resolve
from tiffin.quality.leakage.checking import Limits, check_leakage
from tiffin.quality.leakage.lookup import Labelled
from tiffin.quality.leakage.report import LeakageReport
from tiffin.store.opened import Opened
from tiffin.training.frame import Request, check_wanted
from tiffin.training.spine import TIMESTAMP, Spine


class Quality(Opened):
    """Methods of `FeatureStore` that check data."""

    def check_leakage(
        self,
        spine: Any,
        features: Features,
        *,
        label: str,
        timestamp: str | None = None,
        ttl: timedelta | None = None,
        known_at: datetime | str | None = None,
        same_time: float = Limits.same_time,
        auc: float = Limits.auc,
        correlation: float = Limits.correlation,
        errors_avoided: float = Limits.errors_avoided,
        sample: int = Limits.sample,
        seed: int = Limits.seed,
    ) -> LeakageReport:
        """Warn of features that know what is not yet known at the label's time.

        Parameters
        ----------
        spine : frame
            The rows, as for `get_historical_features`, with a label.
        features : sequence of str, str or Service
            References, or a feature service or its name.
        label : str
            The spine's column that a model is to tell.
        timestamp, ttl, known_at
            As for `get_historical_features`.
        same_time : float
            Warn if this share of the rows have features of exactly the label's time.
        auc : float
            Warn if a feature alone tells a label of two values with this area under the ROC curve.
        correlation : float
            Warn if a feature has this rank correlation with a label that is a number.
        errors_avoided : float
            Warn if a feature alone avoids this share of the errors of always naming the commonest of several classes.
        sample : int
            At most so many rows are looked at for those three.
        seed : int
            Chooses them.

        Returns
        -------
        LeakageReport
            `.ok`, `.findings`, `.to_dict()`; prints as text.

        Raises
        ------
        InvalidInputError
            The spine has no such label, or as for `get_historical_features`.
        """
        request = Request(
            references=references(self._catalog, self._registry, features),
            rows=frames.ingest(spine),
            now=datetime.now(UTC),
            timestamp=timestamp,
            ttl=ttl,
            known_at=known_at,
            full_feature_names=True,
        )
        request.check()
        wanted = resolve(self._catalog, self._registry, request.references, full_feature_names=True)
        check_wanted(wanted, known_at)
        rows = request.spine(wanted)
        labelled = Labelled(rows, label, rows.timestamp or _label_time(rows, label), ttl, self._reader)
        return check_leakage(labelled, wanted, Limits(same_time, auc, correlation, errors_avoided, sample, seed))


def _label_time(spine: Spine, label: str) -> str | None:
    """Find the label's times where no table has asked for them."""
    times = [
        name
        for name, dtype in spine.frame.schema.items()
        if isinstance(dtype, pl.Datetime | pl.Date) and name not in {label, spine.known_at}
    ]
    if TIMESTAMP in times:
        return TIMESTAMP
    return times[0] if len(times) == 1 else None
