"""How the parts of the demo's report are set off."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text


def section(title: str, about: str = "") -> Iterator[RenderableType]:
    """Begin a part of the report."""
    yield Text()
    yield Text.assemble((title, "bold green"), (f"  {about}" if about else "", "dim"))


def indented(view: RenderableType) -> Padding:
    """Move what belongs to a part a little to the right."""
    return Padding(view, (0, 2), expand=False)
