"""Fuzzes one target in this process: `python -m fuzz.one TARGET [what libFuzzer takes]`."""

from __future__ import annotations

import sys
from importlib import import_module

import atheris


def main() -> None:
    """Give the target what libFuzzer makes up, led by which lines of Tiffin it reaches, until time or luck runs out."""
    program, name, *options = sys.argv
    with atheris.instrument_imports(include=["tiffin"]):
        target = import_module(f"fuzz.targets.{name}")
    atheris.Setup([program, *options], target.check)
    atheris.Fuzz()


main()
