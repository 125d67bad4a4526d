"""Making a saved training frame again, bit for bit, or telling what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from tiffin.errors import (
    ConflictError,
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    NotReproducible,
    TableNotFound,
    VersionNotFound,
)
from tiffin.features import warn_of_majors_since
from tiffin.frames import FeatureFrame, Ingested, Lock, Recipe
from tiffin.reading import Reader
from tiffin.tables.catalog import Catalog
from tiffin.training import sources
from tiffin.training.frame import Request, make
from tiffin.training.sets import TrainingSet, TrainingSets
from tiffin.version import __version__

Complete = Callable[[Recipe, FeatureFrame], FeatureFrame]
"""Computes again what was computed on demand, from the stored features and what the recipe says of it."""


def reproduce(sets: TrainingSets, name: str, catalog: Catalog, reader: Reader, complete: Complete) -> FeatureFrame:
    """Make a saved training frame again; see `FeatureStore.reproduce`.

    Parameters
    ----------
    sets : TrainingSets
        Where it was saved.
    name : str
        Its name.
    catalog : Catalog
        The tables.
    reader : Reader
        What they are read through.
    complete : callable
        Is called if something was computed on demand; raises an error of ours if it cannot be computed as it was.

    Returns
    -------
    FeatureFrame
        With the hashes that were recorded.

    Raises
    ------
    TrainingSetNotFound
        There is none of this name.
    NotReproducible
        Saying what has changed.
    """
    try:
        kept = sets.find(name)
        spine = sets.spine(name)
    except CorruptData as error:
        raise _refusal(name, [error.message], error.hint) from error
    recipe = kept.lock.recipe
    assert recipe is not None  # only such locks are saved
    changed = sources.changes(recipe, catalog)
    if changed:
        raise _refusal(name, changed)
    try:
        wanted = sources.wanted(recipe, catalog)
        frame = make(_request(recipe, spine), wanted, reader)
    except (CorruptData, VersionNotFound, TableNotFound) as error:
        raise _refusal(name, sources.changes(recipe, catalog) or [error.message], error.hint) from error
    if recipe.computed is not msgspec.UNSET:
        try:
            frame = complete(recipe, frame)
        except (InvalidInputError, ConflictError, FeatureNotFound) as error:
            raise _refusal(name, [error.message], error.hint) from error
    _check_equal(kept, frame.lock)
    warn_of_majors_since(name, wanted)
    return frame


def _request(recipe: Recipe, spine: Ingested) -> Request:
    return Request(
        references=recipe.references,
        rows=spine,
        now=recipe.made,
        timestamp=recipe.timestamp,
        ttl=recipe.ttl,
        known_at=recipe.known_at_column or recipe.known_at,
        full_feature_names=recipe.full_feature_names,
    )


def _check_equal(kept: TrainingSet, again: Lock) -> None:
    """Compare the hashes of the columns, spine first: it explains the others."""
    before, now = kept.lock.column_hashes, again.column_hashes
    if list(before.items()) == list(now.items()):
        return
    recipe = kept.lock.recipe
    assert recipe is not None
    differing = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    in_spine = [name for name in differing if name in recipe.spine]
    if in_spine:
        raise _refusal(kept.name, [f"columns of the spine are not what was saved: {', '.join(in_spine)}"])
    held = {**recipe.features, **(recipe.computed.columns if recipe.computed is not msgspec.UNSET else {})}
    which = [f"{name} ({held[name]})" for name in differing if name in held]
    by = "" if recipe.tiffin == __version__ else f"; it was made by Tiffin {recipe.tiffin}, and this is {__version__}"
    raise _refusal(kept.name, [f"the values of {', '.join(which) or 'the order of columns'} differ{by}"])


def _refusal(name: str, changed: Iterable[str], hint: str = "") -> NotReproducible:
    problems = list(changed)
    return NotReproducible(
        f"training set {name!r} cannot be made again: {'; '.join(problems)}",
        hint=hint or "put back what is gone from a copy of the store, or make the training set anew and save that",
        training_set=name,
        problems=problems,
    )
