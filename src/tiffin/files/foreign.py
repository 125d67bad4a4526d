"""Files that are not ours, which others may change or cut short while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PIECE_BYTES = 1 << 20


def read_pieces(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece; never mapped, because one that shrinks would then end the process.

    Parameters
    ----------
    path : Path
        A symbolic link is followed.

    Raises
    ------
    OSError
        As the system says.
    """
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
