"""What `tiffin doctor` finds: damage in the store, and what Tiffin runs on."""

import platform
import re
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.run import Run
from tiffin.cli.views import words
from tiffin.doctor import Finding
from tiffin.errors import CorruptData
from tiffin.version import __version__

_LIBRARIES = ("polars", "pyarrow", "numpy", "lmdb", "pandas", "redis", "deltalake")


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    healthy: bool
    """Nothing is damaged; what was repaired after a crash is no damage."""
    findings: list[Finding]
    tables: int
    rows: int
    size_bytes: int
    """Size of the newest versions' data files."""
    disk_cache: dict[str, Any] | None
    store: str
    store_exists: bool
    settings: dict[str, Any]
    """The settings in force: environment over `config/tiffin.toml` over defaults."""
    versions: dict[str, str | None]
    """Of Tiffin, Python and the libraries; None for one that is not installed."""
    system: str


def examine(run: Run, reference: str | None) -> Examination:
    """Examine one table, or all.

    Parameters
    ----------
    run : Run
        Knows the store.
    reference : str or None
        A table; all if None.
    """
    findings: list[Finding] = []
    counted = None
    with run.busy("examining"):
        try:
            findings += run.store.examine(reference)
            counted = run.store.stats()
        except CorruptData as error:
            # So damaged that the table cannot even be opened.
            table = str(error.context.get("table", ""))
            findings.append(Finding(table=table, kind="corrupt", what=error.message, hint=error.hint))
    return Examination(
        healthy=all(finding.kind != "corrupt" for finding in findings),
        findings=findings,
        tables=counted.tables if counted else 0,
        rows=counted.rows if counted else 0,
        size_bytes=counted.size_bytes if counted else 0,
        disk_cache=dict(counted.disk_cache) if counted and counted.disk_cache else None,
        store=str(run.store.path),
        store_exists=run.store.path.is_dir(),
        settings={name: _without_secrets(value) for name, value in asdict(run.store.settings).items()},
        versions={"tiffin": __version__, "python": platform.python_version(), **_library_versions()},
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _without_secrets(value: object) -> object:
    """Leave out of a setting that is an address the password, which the user name or the options may bring along."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub(r"\?.*", "?…", re.sub(r"(://[^:/@]*):.*@", r"\1:…@", value, flags=re.DOTALL), flags=re.DOTALL)


def _library_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def views(found: Examination) -> Iterator[RenderableType]:
    """Show for people what was found."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    for name, version in found.versions.items():
        facts.add_row(name, version or Text("not installed", style="dim"))
    facts.add_row("system", found.system)
    facts.add_row("store", found.store if found.store_exists else f"{found.store} (not there yet)")
    facts.add_row(
        "holds", f"{words.many(found.tables, 'table')}, {words.many(found.rows, 'row')}, {words.size(found.size_bytes)}"
    )
    if found.disk_cache:
        cache = found.disk_cache
        facts.add_row("disk cache", f"{words.size(cache['bytes'])} of at most {words.size(cache['max_bytes'])}")
    yield facts
    yield Text()
    settings = Table.grid(padding=(0, 2))
    settings.add_column(style="dim")
    settings.add_column(overflow="fold")
    for name, value in found.settings.items():
        settings.add_row(name, str(value))
    yield settings
    yield Text()
    for finding in found.findings:
        style = "bold red" if finding.kind == "corrupt" else "bold yellow"
        about = finding.table or (f"service {finding.service}" if finding.service else "the store")
        yield Text.assemble((f"{finding.kind} ", style), (about, "bold"), f": {finding.what}")
        if finding.hint:
            yield Text(f"  {finding.hint}", style="dim")
    if found.healthy:
        yield Text("every version can be read, every file is what was written", style="green")
