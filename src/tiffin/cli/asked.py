"""What features are asked for on the command line, and which keys and times their tables have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiffin.cli.options import names_of
from tiffin.cli.run import Run

if TYPE_CHECKING:
    import polars as pl

REFERENCES = (
    "group/name:feature, group/name for all of them, pinned as group/name@3; separated by commas, or repeated. "
    "Or the name of a feature service."
)

FeaturesOption = Annotated[
    list[str], typer.Option("--features", "-f", metavar="REFERENCES", help=REFERENCES, show_default=False)
]


class Keys(NamedTuple):
    """What rows are found by in the tables that are asked for."""

    entity: "dict[str, pl.DataType]"
    """Each entity column."""
    times: set[str]
    """The tables' timestamps."""


def asked_for(texts: Sequence[str]) -> str | list[str]:
    """Return references, or the one text that may also be the name of a feature service."""
    names = names_of(texts) or []
    return names[0] if len(names) == 1 else names


def keys_of(run: Run, features: str | Sequence[str]) -> Keys:
    """Find out what the rows of the tables are found by.

    Parameters
    ----------
    run : Run
        Knows the store.
    features : str or sequence of str
        What is asked for: references, or the name of a feature service.
    """
    keys = Keys({}, set())
    for table in _tables(run, features):
        info = run.store.describe(table)
        schema = run.store.read(table, limit=0).schema
        keys.entity.update({name: schema[name] for name in info.entity})
        if info.timestamp:
            keys.times.add(info.timestamp)
    return keys


def _tables(run: Run, features: str | Sequence[str]) -> list[str]:
    if isinstance(features, str):
        services = {service.name: service.features for service in run.store.services()}
        features = services.get(features, (features,))
    return list(dict.fromkeys(reference.partition(":")[0] for reference in features))
