"""What a save was made from: what the caller names, recognised where it is a table of the store or a file."""

from __future__ import annotations

import os
from pathlib import Path

import xxhash

from tiffin.errors import InvalidName, NotFoundError, StorageError
from tiffin.files import LOCAL, read_pieces, translated
from tiffin.schema.names import parse_reference
from tiffin.tables.actions import Input, Inputs, input_names, listed_inputs
from tiffin.tables.catalog import Catalog

HASHED_AT_MOST = 1 << 30
"""Bytes: of a larger file only the size is noted."""


def recognise(inputs: Inputs, catalog: Catalog) -> tuple[Input, ...]:
    """Find the inputs that are tables of the store, or files.

    Only a path object is looked for on the disk: a text may have come from another machine, whose files are not these.

    Parameters
    ----------
    inputs : str, Path, or sequence of such
        References, paths, and whatever else rows are made from.
    catalog : Catalog
        The tables.

    Returns
    -------
    tuple of Input
        Tables at the version that is named, else at the newest; files with their size and hash.
    """
    given = listed_inputs(inputs)
    found = (_file(one) if isinstance(one, os.PathLike) else _table(str(one), catalog) for one in given)
    return tuple(one for one in found if one is not None)


def _table(text: str, catalog: Catalog) -> Input | None:
    try:
        reference = parse_reference(text)
        if reference.group is None:
            # A word alone says too little: it may be anything.
            return None
        table = catalog.table(catalog.name_of(reference))
        if table.log.latest() is None:
            return None
        state = table.log.require() if reference.version is None else table.at(reference.version)
    except (InvalidName, NotFoundError, StorageError):
        return None
    if state.stage:
        # No version, and perhaps gone tomorrow.
        return None
    return Input(name=text, table=str(table.name), id=state.metadata.id, version=state.version)


def _file(path: os.PathLike[str]) -> Input | None:
    real = Path(path)
    try:
        with translated(real, doing="read"):
            real = real.resolve()
            found = LOCAL.stat(real)
            if found is None or found.is_folder or not real.is_file():
                return None
            hashed = _hash(real) if found.size <= HASHED_AT_MOST else ""
    except (StorageError, ValueError, RuntimeError):
        # No path, links in a circle, or not to be read any more: the save does not depend on it.
        return None
    (name,) = input_names(path)
    return Input(name=name, size_bytes=found.size, xxh3=hashed)


def _hash(path: Path) -> str:
    state = xxhash.xxh3_64()
    for piece in read_pieces(path):
        state.update(piece)
    return state.hexdigest()
