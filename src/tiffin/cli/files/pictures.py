"""Pictures into files: SVG as it is, in a page of HTML, or as PNG."""

import re
from enum import StrEnum
from pathlib import Path

from tiffin.cli.views import words
from tiffin.errors import InvalidInputError, LimitError, MissingDependency

_HEIGHT = re.compile(r' height="(\d+)"')
_TALLEST = 12_000
"""Of a PNG, before it is enlarged: with 200 columns, it takes some hundreds of megabytes to draw."""
_ZOOM = 2.0
"""PNG has twice the picture's size, for screens of high density."""


class Form(StrEnum):
    """What kind of file a picture is written into."""

    SVG = ".svg"
    HTML = ".html"
    PNG = ".png"


def form_of(path: Path) -> Form:
    """Tell the kind from a file's name, and whether it can be written.

    Raises
    ------
    InvalidInputError
        The name does not tell.
    """
    try:
        return Form(path.suffix.lower())
    except ValueError:
        shown = words.printable(str(path))
        raise InvalidInputError(f"{shown!r} is no name of a picture", hint="name it .svg, .html or .png") from None


def encode(svg: str, form: Form) -> bytes:
    """Write a picture as the bytes of a file.

    Parameters
    ----------
    svg : str
        The picture.
    form : Form
        What kind of file.

    Raises
    ------
    MissingDependency
        PNG needs a library that is not installed.
    LimitError
        There are too many columns for PNG.
    """
    if form is Form.SVG:
        return svg.encode()
    if form is Form.HTML:
        return f'<!doctype html><meta charset="utf-8"><title>Tiffin</title><body>{svg}</body>\n'.encode()
    height = int(_HEIGHT.search(svg)[1])  # type: ignore[index] # of our own pictures, which all say it
    if height > _TALLEST:
        raise LimitError(
            f"a picture {height:,} points high takes too much memory as PNG", hint="name the file .svg or .html"
        )
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise MissingDependency(
            "drawing PNG needs the library resvg-py",
            hint="pip install 'tiffin[pictures]', or name the file .svg or .html",
        ) from None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM))
