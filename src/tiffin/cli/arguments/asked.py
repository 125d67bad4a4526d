"""What features are asked for on the command line, and which keys and times their tables have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiffin.cli.arguments.options import names_of
from tiffin.cli.run import Run

if TYPE_CHECKING:
    import polars as pl

    from tiffin.features import Features

REFERENCES = (
    "group/name:feature, group/name for all of them, pinned as group/name@3; separated by commas, or repeated. "
    "Or the name of a feature service."
)

FeaturesOption = Annotated[
    list[str] | None, typer.Option("--features", "-f", metavar="REFERENCES", help=REFERENCES, show_default=False)
]
ServiceOption = Annotated[
    str | None,
    typer.Option("--service", metavar="NAME", help="A feature service, also where a table has the same name."),
]
FullNamesOption = Annotated[bool, typer.Option("--full-feature-names", help="Name the columns group__name__feature.")]


class Keys(NamedTuple):
    """What rows are found by in the tables that are asked for."""

    entity: "dict[str, pl.DataType]"
    """Each entity column, and each column that on-demand features take."""
    times: set[str]
    """The tables' timestamps."""


def asked_for(run: Run, texts: Sequence[str] | None, service: str | None, written_as: str) -> "Features":
    """Return what is asked for: references, the one text that may also be a feature service's name, or a service.

    Parameters
    ----------
    run : Run
        Knows the store.
    texts : sequence of str or None
        References, or the name of a service.
    service : str or None
        The name of a service, and of nothing else.
    written_as : str
        What the references are called in the help.
    """
    if bool(texts) == (service is not None):
        raise typer.BadParameter(f"give either {written_as} or --service", param_hint=written_as)
    if service is not None:
        return run.store.service(service)
    names = names_of(texts) or []
    return names[0] if len(names) == 1 else names


def keys_of(run: Run, features: "Features") -> Keys:
    """Find out what the rows of the tables are found by.

    Parameters
    ----------
    run : Run
        Knows the store.
    features : str, sequence of str or Service
        What is asked for.
    """
    from tiffin.schema.dtypes import decode

    keys = Keys({}, set())
    computed = {one.name: one for one in run.store.registered()}
    asked = _tables(run, features)
    for one in (computed[name] for name in asked if name in computed):
        keys.entity.update({name: decode(text) for name, text in one.request.items()})
        asked += [text.partition(":")[0] for text in one.inputs]
    for table in dict.fromkeys(name for name in asked if name not in computed):
        info = run.store.describe(table)
        schema = run.store.read(table, limit=0).schema
        keys.entity.update({name: schema[name] for name in info.entity})
        if info.timestamp:
            keys.times.add(info.timestamp)
    return keys


def _tables(run: Run, features: "Features") -> list[str]:
    from tiffin.registry import Service

    if isinstance(features, str):
        services = {service.name: service for service in run.store.services()}
        features = services.get(features, (features,))
    references = features.features if isinstance(features, Service) else features
    return list(dict.fromkeys(reference.partition(":")[0] for reference in references))
