"""The stores that keep the contract: one in this process, and one behind a server."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

import tiffin
from tiffin import errors

Store = tiffin.FeatureStore | tiffin.FeatureStoreClient

UTC = dt.UTC
NOW = dt.datetime.now(UTC).replace(microsecond=123_456)
DAY = dt.timedelta(days=1)
HERE, HTTP = "here", "http"


def failure(kind: type[errors.TiffinError], call: Any) -> errors.TiffinError:
    """What a call raises: exactly that class, with its code and something to do."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.code == kind.code
    return caught.value


def spine_of(*users: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"user_id": users, "event_timestamp": [NOW] * len(users), "label": [n % 2 for n in range(len(users))]}
    )
